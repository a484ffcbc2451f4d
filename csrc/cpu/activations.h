// Magnitudes of activations, and which rows of x the decode kernels can treat.
#pragma once

#include <cstdint>

#include "csrc/spec/float_types.h"

namespace torchao_ops {

// The decode kernels multiply x by codes rather than by weights and apply the scale afterwards, and they move powers of two between the
// operands. For a row of x whose largest magnitude is 0 or in [2^-60, 2^100] that changes no result: nothing overflows (2^100 * 15 * 2^20
// elements < 2^128), and what an intermediate underflow loses is below 2^-126, 2^-66 of the largest product. All other rows (NaN and Inf
// among them, where 0 * Inf would differ) are left to the scalar kernel.
TORCHAO_OPS_INLINE bool is_ordinary_row(float max_magnitude) {
  constexpr float smallest = 8.67361737988403547e-19f;  // 2^-60
  constexpr float largest = 1.2676506002282294e30f;     // 2^100
  return max_magnitude == 0.0f || (max_magnitude >= smallest && max_magnitude <= largest);
}

namespace {

// The largest |value| of what was added; NaN if any was NaN.
template <class V>
class MaxMagnitude {
 public:
  TORCHAO_OPS_INLINE void add(const float* values, int64_t count) {
    for (int64_t i = 0; i < count; i += V::lanes) bits_ = V::max_unsigned(bits_, V::magnitude_bits(V::load(values + i)));
  }
  // As unsigned integers, magnitudes are ordered as their values are, with Inf and then NaN on top.
  TORCHAO_OPS_INLINE float value() const {
    uint32_t lanes[V::lanes];
    V::store_bits(lanes, bits_);
    uint32_t bits = 0;
    for (const uint32_t lane : lanes) bits = lane > bits ? lane : bits;
    return float_from_bits(bits);
  }

 private:
  typename V::Int bits_ = V::zero_bits();
};

}  // namespace
}  // namespace torchao_ops
