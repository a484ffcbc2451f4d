// What products of 2:4 sparse weights make of x before they multiply.
#pragma once

#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/float8.h"

namespace torchao_ops {
namespace {

// Each has quantizes, whether scales of rows of the weight are applied to sums, integers, whether these are integers, and prepare(row, K): replaces
// row[0, K) by what is multiplied and returns what y is multiplied by in turn, 0 for zeros, NaN if the row is left to the scalar kernel. row is
// readable and writable up to a whole number of vectors, with zeros beyond K.

// x as it is. Zeros of the weight are skipped, so NaN and Inf are left to the scalar kernel; where a scale is applied to sums, all rows but ordinary ones
// are (activations.h).
template <bool scales_sums>
struct UnroundedActivations {
  static constexpr bool quantizes = false;
  static constexpr bool integers = false;
  template <class V>
  TORCHAO_OPS_INLINE static float prepare(float* row, int64_t K) {
    MaxMagnitude<V> magnitude;
    magnitude.add(row, K);
    if (magnitude.value() == 0.0f) return 0.0f;
    const bool takes = scales_sums ? is_ordinary_row(magnitude.value()) : is_finite(magnitude.value());
    return takes ? 1.0f : float_from_bits(0x7fc00000u);
  }
};
using ExactActivations = UnroundedActivations<false>;
using OrdinaryActivations = UnroundedActivations<true>;

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
    for (int64_t k = 0; k < K; k += V::lanes) {
      V::store(row + k, round_to_float8<V, Float8E4m3fn>(V::div(V::load(row + k), V::set(scale))));
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
