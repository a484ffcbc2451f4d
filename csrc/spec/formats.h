// The formats of quantized weights: what the bytes are. The wire format is the compute format (docs/decisions.md).
#pragma once

#include <cstdint>

#include "csrc/spec/float_types.h"

namespace torchao_ops {

TORCHAO_OPS_CONSTEXPR int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// Groups of group_size consecutive k in a row of K; the last one may be partial.
TORCHAO_OPS_CONSTEXPR int64_t group_count(int64_t K, int64_t group_size) { return ceil_div(K, group_size); }

// int4: two codes a byte, element 2j in the low nibble of byte j: the bytes of compressed-tensors' `pack-quantized`.
//   w[n, k] = (code[n, k] - zero_point[n, k / group_size]) * scale[n, k / group_size]
namespace int4 {

// What a missing zero point means, and what symmetric quantization uses: the middle of the 16 codes.
constexpr int symmetric_zero_point = 8;

TORCHAO_OPS_CONSTEXPR int64_t packed_columns(int64_t K) { return ceil_div(K, 2); }

TORCHAO_OPS_CONSTEXPR uint8_t code_of(uint8_t byte, int64_t k) {
  return static_cast<uint8_t>(k % 2 == 0 ? byte & 0x0f : byte >> 4);
}

static_assert(packed_columns(0) == 0 && packed_columns(1) == 1 && packed_columns(384) == 192, "two codes a byte");
static_assert(code_of(0xa3, 0) == 0x3 && code_of(0xa3, 1) == 0xa, "the even element is the low nibble");
static_assert(group_count(384, 256) == 2 && group_count(0, 32) == 0, "the last group may be partial");

// An int4 weight [N, K] in memory. Rows may lie apart (strides), the elements of a row may not.
struct Weight {
  const uint8_t* packed;      // [N, ceil(K / 2)]
  int64_t packed_row_stride;  // bytes
  const void* scale;          // [N, G], G = ceil(K / group_size)
  FloatType scale_type;
  int64_t scale_row_stride;  // elements
  const void* zero_point;    // [N, G], or null: 8 everywhere
  FloatType zero_point_type;
  int64_t zero_point_row_stride;  // elements
  int64_t N, K, group_size;       // group_size >= 1

  // For templates over formats.
  static constexpr int64_t codes_per_byte = 2;
  static constexpr bool has_zero_points = true;
  TORCHAO_OPS_INLINE const uint8_t* row(int64_t n) const { return packed + n * packed_row_stride; }
  TORCHAO_OPS_INLINE static uint8_t code_in(const uint8_t* row, int64_t k) { return code_of(row[k / 2], k); }

  TORCHAO_OPS_INLINE uint8_t code(int64_t n, int64_t k) const { return code_in(row(n), k); }
  TORCHAO_OPS_INLINE float scale_at(int64_t n, int64_t group) const {
    return load_float(scale, scale_type, n * scale_row_stride + group);
  }
  TORCHAO_OPS_INLINE float zero_point_at(int64_t n, int64_t group) const {
    return zero_point == nullptr ? static_cast<float>(symmetric_zero_point)
                                 : load_float(zero_point, zero_point_type, n * zero_point_row_stride + group);
  }
};

}  // namespace int4

// int8: one code a byte, symmetric: the bytes of compressed-tensors' `int-quantized`. The quantizer makes codes -127..127; -128 is a code as well.
//   w[n, k] = code[n, k] * scale[n, k / group_size]
// Where operators say group_size 0, one scale a row, a kernel gets a group size of at least K: one group.
namespace int8 {

constexpr int largest_code = 127;

// An int8 weight [N, K] in memory. Rows may lie apart (strides), the elements of a row may not.
struct Weight {
  const int8_t* codes;  // [N, K]
  int64_t row_stride;   // elements
  const void* scale;    // [N, G], G = ceil(K / group_size)
  FloatType scale_type;
  int64_t scale_row_stride;  // elements
  int64_t N, K, group_size;  // group_size >= 1

  // For templates over formats.
  static constexpr int64_t codes_per_byte = 1;
  static constexpr bool has_zero_points = false;
  TORCHAO_OPS_INLINE const uint8_t* row(int64_t n) const { return reinterpret_cast<const uint8_t*>(codes + n * row_stride); }
  TORCHAO_OPS_INLINE static int8_t code_in(const uint8_t* row, int64_t k) { return static_cast<int8_t>(row[k]); }
  TORCHAO_OPS_INLINE static float zero_point_at(int64_t, int64_t) { return 0.0f; }

  TORCHAO_OPS_INLINE int8_t code(int64_t n, int64_t k) const { return codes[n * row_stride + k]; }
  TORCHAO_OPS_INLINE float scale_at(int64_t n, int64_t group) const {
    return load_float(scale, scale_type, n * scale_row_stride + group);
  }
};

}  // namespace int8
}  // namespace torchao_ops
