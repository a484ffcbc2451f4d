// Dynamic quantization of a row of activations to int8, for every dynamic product.
#pragma once

#include "csrc/cpu/activations.h"

namespace torchao_ops {
namespace {

// Replaces values[0, count) by q = clamp(round_half_even(value / scale), -127, 127), still as fp32, and returns scale = max|value| / 127.
// values must be readable and writable up to a whole number of vectors, with zeros beyond count.
// A row of zeros has scale 0. A row with NaN or Inf, or whose scale underflows to 0, must not be quantized: the scale is NaN, q is 0.
template <class V>
TORCHAO_OPS_INLINE float quantize_row(float* values, int64_t count) {
  MaxMagnitude<V> magnitude;
  magnitude.add(values, count);
  const float max_magnitude = magnitude.value();
  const float scale = max_magnitude / 127.0f;
  if (scale == 0.0f && max_magnitude == 0.0f) return 0.0f;
  const bool usable = is_finite(max_magnitude) && scale != 0.0f;
  for (int64_t i = 0; i < count; i += V::lanes) {
    const auto q = V::round(V::div(V::load(values + i), V::set(scale)));
    V::store(values + i, usable ? V::min(V::max(q, V::set(-127.0f)), V::set(127.0f)) : V::zero());
  }
  return usable ? scale : float_from_bits(0x7fc00000u);
}

}  // namespace
}  // namespace torchao_ops
