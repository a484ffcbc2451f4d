// The three floating-point types of activations, scales, zero points, biases and results, and their exact conversions.
//
// The conversions are plain integer arithmetic so that every compiler and every ISA computes the same bits; kernels use
// the hardware's conversions, which the tests hold against these.
#pragma once

#include <cstdint>
#include <cstring>

namespace torchao_ops {

// Everything here is inlined into its caller: an out-of-line copy would be a weak symbol, and the linker could then pick
// the copy that was compiled for a newer CPU.
#ifdef __CUDACC__
#define TORCHAO_OPS_INLINE __host__ __device__ __forceinline__  // CUDA kernels call them, too
#define TORCHAO_OPS_CONSTEXPR __host__ __device__ constexpr
#else
#define TORCHAO_OPS_INLINE [[gnu::always_inline]] inline
#define TORCHAO_OPS_CONSTEXPR constexpr
#endif
// For the inner loops of kernels, which are local to their file: compiled each on its own, they get all registers, and in a fraction of the time.
#define TORCHAO_OPS_NOINLINE [[gnu::noinline]]

enum class FloatType : uint8_t { f32, f16, bf16 };

TORCHAO_OPS_CONSTEXPR int64_t size_of(FloatType type) { return type == FloatType::f32 ? 4 : 2; }

// Storage of one fp16 (IEEE binary16) or bf16 number: distinct types, so that templates can tell them apart.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};
static_assert(sizeof(Half) == 2 && sizeof(BFloat16) == 2, "two-byte storage");

TORCHAO_OPS_INLINE uint32_t float_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TORCHAO_OPS_INLINE float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Exact: the last exponent of each type, all ones, is Inf or NaN.
TORCHAO_OPS_INLINE bool is_finite(float value) { return (float_bits(value) & 0x7f800000u) != 0x7f800000u; }

TORCHAO_OPS_INLINE float to_float(float value) { return value; }

TORCHAO_OPS_INLINE float to_float(BFloat16 value) { return float_from_bits(uint32_t{value.bits} << 16); }

TORCHAO_OPS_INLINE float to_float(Half value) {
  const uint32_t sign = (uint32_t{value.bits} & 0x8000u) << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return float_from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));  // Inf, NaN
  // Moving the 15 bits to fp32's place leaves an exponent that is 127 - 15 too small; multiplying by 2^112 repairs it and
  // normalizes subnormals in the same step. Exact: fp32 has room for every fp16 number.
  const float scaled = float_from_bits(magnitude << 13) * float_from_bits((127u + 112u) << 23);
  return float_from_bits(sign | float_bits(scaled));
}

// Round to nearest even. NaN stays NaN (made quiet).
TORCHAO_OPS_INLINE void from_float(float value, float* out) { *out = value; }

TORCHAO_OPS_INLINE void from_float(float value, BFloat16* out) {
  const uint32_t bits = float_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    out->bits = static_cast<uint16_t>((bits >> 16) | 0x40u);
    return;
  }
  out->bits = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

TORCHAO_OPS_INLINE void from_float(float value, Half* out) {
  const uint32_t bits = float_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x47800000u) {  // 2^16 and above, Inf included; [65520, 2^16) rounds up to Inf below
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14, the smallest normal fp16
    // Adding 0.5 puts fp16's subnormal grid, 2^-24, at fp32's last mantissa bit, so the FPU rounds to nearest even there.
    half = float_bits(float_from_bits(magnitude) + 0.5f) - float_bits(0.5f);
  } else {
    half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - ((127u - 15u) << 23)) >> 13;
  }
  out->bits = static_cast<uint16_t>(sign | half);
}

// Element i of an array whose type is known at run time.
TORCHAO_OPS_INLINE float load_float(const void* data, FloatType type, int64_t i) {
  switch (type) {
    case FloatType::f32: return static_cast<const float*>(data)[i];
    case FloatType::f16: return to_float(static_cast<const Half*>(data)[i]);
    case FloatType::bf16: return to_float(static_cast<const BFloat16*>(data)[i]);
  }
  return 0.0f;
}

TORCHAO_OPS_INLINE void store_float(float value, void* data, FloatType type, int64_t i) {
  switch (type) {
    case FloatType::f32: from_float(value, static_cast<float*>(data) + i); return;
    case FloatType::f16: from_float(value, static_cast<Half*>(data) + i); return;
    case FloatType::bf16: from_float(value, static_cast<BFloat16*>(data) + i); return;
  }
}

// value as `type` stores it.
TORCHAO_OPS_INLINE float round_to(FloatType type, float value) {
  float stored[1];
  store_float(value, stored, type, 0);
  return load_float(stored, type, 0);
}

}  // namespace torchao_ops
