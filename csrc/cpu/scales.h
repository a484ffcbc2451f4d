// Scales and zero points of weight rows, and absmax of blocks, as fp32.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/fp8.h"

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

template <class V>
TORCHAO_OPS_INLINE void expand_scales(const fp8::Weight& w, int64_t n, float* scale, float*) {
  const int64_t G = group_count(w.K, w.group_size);
  if (w.scale_column_stride == 1) {
    convert<V>(w.scale, w.scale_type, n / w.row_block * w.scale_row_stride, G, scale);
  } else {
    for (int64_t g = 0; g < G; ++g) scale[g] = w.scale_at(n, g);
  }
}

// absmax of blocks [begin, begin + count).
template <class V>
TORCHAO_OPS_INLINE void expand_absmax(const nf4::Weight& w, int64_t begin, int64_t count, float* absmax) {
  if (w.absmax_code == nullptr) {
    convert<V>(w.absmax, w.absmax_type, begin, count, absmax);
    return;
  }
  const uint8_t* codes = static_cast<const uint8_t*>(w.absmax);
  const float offset = *w.absmax_offset;
  const int64_t end = begin + count;
  for (int64_t nested = begin / w.nested_block_size; begin < end; ++nested) {
    const int64_t left = w.nested_block_size - begin % w.nested_block_size;
    const float scale = w.nested_absmax[nested];
    for (const int64_t stop = end - begin < left ? end : begin + left; begin < stop; ++begin) {
      const float product = w.absmax_code[codes[begin]] * scale;
      *absmax++ = product + offset;
    }
  }
}

// Of a row that begins with a block, or that lies in one.
template <class V>
TORCHAO_OPS_INLINE void expand_scales(const nf4::Weight& w, int64_t n, float* scale, float*) {
  expand_absmax<V>(w, n * w.K / w.group_size, group_count(w.K, w.group_size), scale);
}

}  // namespace
}  // namespace torchao_ops
