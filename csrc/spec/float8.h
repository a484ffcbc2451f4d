// The two 8-bit floating-point types (OCP FP8, arXiv:2209.05433) and their exact conversions, as float_types.h has them for the wider ones.
#pragma once

#include "csrc/spec/float_types.h"

namespace torchao_ops {

enum class Float8Type : uint8_t { e4m3fn, e5m2 };

// e4m3fn: exponents up to 8 and no Inf; the last code of each sign is NaN. Largest 448, smallest normal 2^-6, smallest 2^-9.
struct Float8E4m3fn {
  static constexpr float largest = 448.0f;
  uint8_t bits;
};
// e5m2: the upper byte of fp16, with Inf. Largest 57344, smallest normal 2^-14, smallest 2^-16.
struct Float8E5m2 {
  static constexpr float largest = 57344.0f;
  uint8_t bits;
};
static_assert(sizeof(Float8E4m3fn) == 1 && sizeof(Float8E5m2) == 1, "one-byte storage");

TORCHAO_OPS_CONSTEXPR float largest_of(Float8Type type) {
  return type == Float8Type::e4m3fn ? Float8E4m3fn::largest : Float8E5m2::largest;
}

TORCHAO_OPS_INLINE float to_float(Float8E4m3fn value) {
  const uint32_t sign = (uint32_t{value.bits} & 0x80u) << 24;
  const uint32_t magnitude = value.bits & 0x7fu;
  if (magnitude == 0x7fu) return float_from_bits(sign | 0x7fc00000u);
  // As for fp16: moved to fp32's place, the exponent is 127 - 7 too small; the product repairs it, and normalizes subnormals.
  const float scaled = float_from_bits(magnitude << 20) * float_from_bits((127u + 120u) << 23);
  return float_from_bits(sign | float_bits(scaled));
}

TORCHAO_OPS_INLINE float to_float(Float8E5m2 value) { return to_float(Half{static_cast<uint16_t>(uint32_t{value.bits} << 8)}); }

// Round to nearest even, saturating: what is beyond the largest number, Inf included, becomes the largest. NaN stays NaN.
TORCHAO_OPS_INLINE void from_float(float value, Float8E4m3fn* out) {
  const uint32_t bits = float_bits(value);
  uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t code;
  if (magnitude > 0x7f800000u) {
    code = 0x7fu;
  } else if (magnitude < 0x3c800000u) {  // below 2^-6, the smallest normal number
    // Adding 2^14 puts the subnormal grid, 2^-9, at fp32's last mantissa bit, so the FPU rounds to nearest even there.
    code = float_bits(float_from_bits(magnitude) + 16384.0f) - float_bits(16384.0f);
  } else {
    magnitude = magnitude < 0x43e00000u ? magnitude : 0x43e00000u;  // 448
    code = (magnitude + 0x7ffffu + ((magnitude >> 20) & 1u) - ((127u - 7u) << 23)) >> 20;
  }
  out->bits = static_cast<uint8_t>(((bits >> 24) & 0x80u) | code);
}

TORCHAO_OPS_INLINE void from_float(float value, Float8E5m2* out) {
  const uint32_t bits = float_bits(value);
  uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t code;
  if (magnitude > 0x7f800000u) {
    code = 0x7fu;
  } else if (magnitude < 0x38800000u) {  // below 2^-14, the smallest normal number
    // The subnormal grid is 2^-16.
    code = float_bits(float_from_bits(magnitude) + 128.0f) - float_bits(128.0f);
  } else {
    magnitude = magnitude < 0x47600000u ? magnitude : 0x47600000u;  // 57344
    code = (magnitude + 0xfffffu + ((magnitude >> 21) & 1u) - ((127u - 15u) << 23)) >> 21;
  }
  out->bits = static_cast<uint8_t>(((bits >> 24) & 0x80u) | code);
}

// Element i of an array whose type is known at run time.
TORCHAO_OPS_INLINE float load_float8(const void* data, Float8Type type, int64_t i) {
  return type == Float8Type::e4m3fn ? to_float(static_cast<const Float8E4m3fn*>(data)[i])
                                    : to_float(static_cast<const Float8E5m2*>(data)[i]);
}

TORCHAO_OPS_INLINE void store_float8(float value, void* data, Float8Type type, int64_t i) {
  if (type == Float8Type::e4m3fn) {
    from_float(value, static_cast<Float8E4m3fn*>(data) + i);
  } else {
    from_float(value, static_cast<Float8E5m2*>(data) + i);
  }
}

}  // namespace torchao_ops
