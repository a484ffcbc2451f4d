// Dynamic quantization of a row of activations to an 8-bit float type: fp8_activations.h.
#pragma once

#include "csrc/cpu/activations.h"
#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

template <class V, class T>
TORCHAO_OPS_NOINLINE void round_row(const MmArgs& mm, int64_t K, int64_t m, float* out) {
  convert<V>(mm.x, mm.x_type, m * mm.x_row_stride, K, out);
  for (int64_t k = K; k < padded(K); ++k) out[k] = 0;
  MaxMagnitude<V> magnitude;
  magnitude.add(out, K);
  const float max_magnitude = magnitude.value(), scale = max_magnitude / T::largest;
  if (!is_finite(max_magnitude) || scale == 0.0f) return;
  for (int64_t k = 0; k < K; k += V::lanes) {
    const auto q = round_to_float8<V, T>(V::div(V::load(out + k), V::set(scale)));
    V::store(out + k, V::mul(q, V::set(scale)));
  }
}

}  // namespace
}  // namespace torchao_ops
