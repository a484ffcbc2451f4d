// Scales and zero points of weight rows as fp32.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// scale[G] and zero_point[G] of row n. A missing int4 zero point is 8; int8 has none and leaves zero_point alone.
template <class V>
TORCHAO_OPS_INLINE void expand_scales(const int4::Weight& w, int64_t n, float* scale, float* zero_point) {
  const int64_t G = group_count(w.K, w.group_size);
  convert<V>(w.scale, w.scale_type, n * w.scale_row_stride, G, scale);
  if (w.zero_point != nullptr) {
    convert<V>(w.zero_point, w.zero_point_type, n * w.zero_point_row_stride, G, zero_point);
  } else {
    for (int64_t g = 0; g < G; ++g) zero_point[g] = float{int4::symmetric_zero_point};
  }
}

template <class V>
TORCHAO_OPS_INLINE void expand_scales(const int8::Weight& w, int64_t n, float* scale, float*) {
  convert<V>(w.scale, w.scale_type, n * w.scale_row_stride, group_count(w.K, w.group_size), scale);
}

}  // namespace
}  // namespace torchao_ops
