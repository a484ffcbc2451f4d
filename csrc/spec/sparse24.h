// The format of 2:4 sparse weights: of each four consecutive k of a row, a quad, two are kept.
#pragma once

#include "csrc/spec/float8.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {

// sparse24: the kept numbers, two a quad and in order, and a bit for each element that says which they are: the bytes of compressed-tensors'
// `sparse-24-bitmask`.
//   w[n, k] = values[n, 2 * (k / 4) + kept of the quad before k] * scale[n]  where bit k % 8 of bitmask[n, k / 8] is set, else 0
//
// sparse24_compress marks exactly two elements of each quad (as many as there are in the last quad of a row that has fewer than two). Others may mark
// fewer: a slot of values that no bit takes is never used. Bits beyond K are never looked at. A quad that marks three or four has no meaning: the
// operators refuse it on the CPU, and its numbers are NaN.
namespace sparse24 {

enum class ValueType : uint8_t { f32, f16, bf16, int8, e4m3fn };

TORCHAO_OPS_CONSTEXPR int64_t size_of(ValueType type) {
  return type == ValueType::f32 ? 4 : type == ValueType::f16 || type == ValueType::bf16 ? 2 : 1;
}

TORCHAO_OPS_CONSTEXPR int64_t quads(int64_t K) { return ceil_div(K, 4); }
TORCHAO_OPS_CONSTEXPR int64_t value_columns(int64_t K) { return 2 * quads(K); }
TORCHAO_OPS_CONSTEXPR int64_t bitmask_columns(int64_t K) { return ceil_div(K, 8); }

// The bits of a quad of a row's bitmask, bit i for element 4 * quad + i < K.
TORCHAO_OPS_CONSTEXPR int bits_of_quad(const uint8_t* bitmask_row, int64_t quad, int64_t K) {
  const int bits = quad % 2 == 0 ? bitmask_row[quad / 2] & 0x0f : bitmask_row[quad / 2] >> 4;
  return K - 4 * quad >= 4 ? bits : bits & ((1 << (K - 4 * quad)) - 1);
}

TORCHAO_OPS_CONSTEXPR int kept(int bits) { return (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1); }
TORCHAO_OPS_CONSTEXPR bool keeps_too_many(int bits) { return kept(bits) > 2; }
// Which of the quad's two values element i (0..3) is, if its bit is set.
TORCHAO_OPS_CONSTEXPR int slot_of(int bits, int i) { return kept(bits & ((1 << i) - 1)); }

static_assert(value_columns(0) == 0 && value_columns(1) == 2 && value_columns(384) == 192,
              "two values a quad, the last one included");
static_assert(bitmask_columns(384) == 48 && bitmask_columns(9) == 2, "eight elements a byte");
static_assert(slot_of(0x9, 0) == 0 && slot_of(0x9, 3) == 1 && slot_of(0x8, 3) == 0, "the kept ones in order");
static_assert(keeps_too_many(0xb) && !keeps_too_many(0xa), "two of four");

// Element i of an array of values.
TORCHAO_OPS_INLINE float load_value(const void* values, ValueType type, int64_t i) {
  switch (type) {
    case ValueType::f32: return static_cast<const float*>(values)[i];
    case ValueType::f16: return to_float(static_cast<const Half*>(values)[i]);
    case ValueType::bf16: return to_float(static_cast<const BFloat16*>(values)[i]);
    case ValueType::int8: return static_cast<float>(static_cast<const int8_t*>(values)[i]);
    case ValueType::e4m3fn: return to_float(static_cast<const Float8E4m3fn*>(values)[i]);
  }
  return 0.0f;
}

// A sparse weight [N, K] in memory. Rows may lie apart (strides), the elements of a row may not.
struct Weight {
  const void* values;  // [N, 2 * ceil(K / 4)]
  ValueType value_type;
  int64_t value_row_stride;    // elements
  const uint8_t* bitmask;      // [N, ceil(K / 8)]
  int64_t bitmask_row_stride;  // bytes
  const void* scale;           // [N], or null: 1
  FloatType scale_type;
  int64_t N, K;

  // For templates over formats: one group a row.
  static constexpr bool has_zero_points = false;
  static constexpr int64_t group_size = int64_t{1} << 62;
  TORCHAO_OPS_INLINE static float zero_point_at(int64_t, int64_t) { return 0.0f; }
  TORCHAO_OPS_INLINE static int64_t group_position(int64_t, int64_t k) { return k; }
  TORCHAO_OPS_INLINE float scale_at(int64_t n, int64_t) const {
    return scale == nullptr ? 1.0f : load_float(scale, scale_type, n);
  }

  TORCHAO_OPS_INLINE const uint8_t* bitmask_row(int64_t n) const { return bitmask + n * bitmask_row_stride; }
  TORCHAO_OPS_INLINE int bits(int64_t n, int64_t quad) const { return bits_of_quad(bitmask_row(n), quad, K); }
  TORCHAO_OPS_INLINE float number(int64_t n, int64_t k) const {
    const int quad_bits = bits(n, k / 4), i = static_cast<int>(k % 4);
    if (keeps_too_many(quad_bits)) return float_from_bits(0x7fc00000u);
    if ((quad_bits >> i & 1) == 0) return 0.0f;
    return load_value(values, value_type, n * value_row_stride + 2 * (k / 4) + slot_of(quad_bits, i));
  }
};

}  // namespace sparse24
}  // namespace torchao_ops
