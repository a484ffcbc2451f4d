// What products of 2:4 sparse weights make of x before they multiply.
#pragma once

#include "csrc/cpu/quantize_row.h"
#include "csrc/spec/float8.h"

namespace torchao_ops {
namespace {

// Each has quantizes, whether scales of rows of the weight are applied to sums, integers, whether these are integers, and prepare(row, K): replaces row[0, K) by what is multiplied and returns what y is multiplied by in turn, 0 for zeros, NaN if the row is left to the scalar
// kernel. row is readable and writable up to a whole number of vectors, with zeros beyond K.

// x as it is. Zeros of the weight are skipped, so NaN and Inf are left to the scalar kernel.
struct ExactActivations {
  static constexpr bool quantizes = false;
  static constexpr bool integers = false;
  template <class V>
  TORCHAO_OPS_INLINE static float prepare(float* row, int64_t K) {
    MaxMagnitude<V> magnitude;
    magnitude.add(row, K);
    if (magnitude.value() == 0.0f) return 0.0f;
    return is_finite(magnitude.value()) ? 1.0f : float_from_bits(0x7fc00000u);
  }
};

// The same where a scale is applied to sums (activations.h).
struct OrdinaryActivations {
  static constexpr bool quantizes = false;
  static constexpr bool integers = false;
  template <class V>
  TORCHAO_OPS_INLINE static float prepare(float* row, int64_t K) {
    MaxMagnitude<V> magnitude;
    magnitude.add(row, K);
    if (magnitude.value() == 0.0f) return 0.0f;
    return is_ordinary_row(magnitude.value()) ? 1.0f : float_from_bits(0x7fc00000u);
  }
};

struct Int8Activations {
  static constexpr bool quantizes = true;
  static constexpr bool integers = true;
  template <class V>
  TORCHAO_OPS_INLINE static float prepare(float* row, int64_t K) {
    return quantize_row<V>(row, K);
  }
};

// quantize_row's twin: q = value / scale rounded to e4m3fn, scale = max|value| / 448.
struct E4m3fnActivations {
  static constexpr bool quantizes = true;
  static constexpr bool integers = false;
  template <class V>
  TORCHAO_OPS_INLINE static float prepare(float* row, int64_t K) {
    MaxMagnitude<V> magnitude;
    magnitude.add(row, K);
    const float max_magnitude = magnitude.value(), scale = max_magnitude / Float8E4m3fn::largest;
    if (max_magnitude == 0.0f) return 0.0f;
    if (!is_finite(max_magnitude) || scale == 0.0f) return float_from_bits(0x7fc00000u);
    for (int64_t k = 0; k < K; ++k) {
      // Adding and subtracting 2^20 times the number's power of two leaves four bits of it; of numbers below 2^-6, what is a multiple of 2^-9.
      const float value = row[k] / scale;
      const uint32_t sign = float_bits(value) & 0x80000000u, bits = float_bits(value) ^ sign;
      const uint32_t exponent = bits & 0x7f800000u, smallest = (127u - 6u) << 23;
      const float shift = float_from_bits((exponent > smallest ? exponent : smallest) + (20u << 23));
      const float rounded = (float_from_bits(bits) + shift) - shift;
      row[k] = float_from_bits(float_bits(rounded < Float8E4m3fn::largest ? rounded : Float8E4m3fn::largest) | sign);
    }
    return scale;
  }
};

// Whether a sum of products with values of a wide range may be scaled afterwards: neither did it overflow, nor can it matter what products that underflowed
// lost (2^20 of them lose less than 2^-129).
TORCHAO_OPS_INLINE bool is_safe_to_scale(float sum) {
  const uint32_t magnitude = float_bits(sum) & 0x7fffffffu;
  return magnitude >= ((127u - 100u) << 23) && magnitude < 0x7f800000u;
}

}  // namespace
}  // namespace torchao_ops
