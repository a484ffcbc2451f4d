// The formats of quantized weights: what the bytes are. The wire format is the compute format (docs/decisions.md).
//
// Every Weight says, for templates over formats, w[n, k] = (number(n, k) - zero_point_at(n, group)) * scale_at(n, group) with
// group = group_position(n, k) / group_size: where the element stands in the sequence that is cut into groups, its row or the whole weight.
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

  TORCHAO_OPS_INLINE int64_t group_position(int64_t, int64_t k) const { return k; }

  TORCHAO_OPS_INLINE uint8_t code(int64_t n, int64_t k) const { return code_in(row(n), k); }
  TORCHAO_OPS_INLINE float number(int64_t n, int64_t k) const { return static_cast<float>(code(n, k)); }
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
  TORCHAO_OPS_INLINE int64_t group_position(int64_t, int64_t k) const { return k; }

  TORCHAO_OPS_INLINE int8_t code(int64_t n, int64_t k) const { return codes[n * row_stride + k]; }
  TORCHAO_OPS_INLINE float number(int64_t n, int64_t k) const { return static_cast<float>(code(n, k)); }
  TORCHAO_OPS_INLINE float scale_at(int64_t n, int64_t group) const {
    return load_float(scale, scale_type, n * scale_row_stride + group);
  }
};

}  // namespace int8

// nf4: two codes a byte, element 2j of the flattened weight in the high nibble of byte j, and a scale (absmax) for each block of group_size
// elements of the flattened weight: the bytes of bitsandbytes. Blocks and bytes straddle rows where K is not a multiple of theirs.
//   w[n, k] = value_of(code[n, k]) * absmax[(n * K + k) / group_size]
// Doubly quantized, absmax is in turn made of codes, product and sum each rounded to fp32:
//   absmax[b] = absmax_code[code[b]] * nested_absmax[b / nested_block_size] + absmax_offset
namespace nf4 {

// The numbers that the 16 codes stand for: quantiles of the normal distribution, scaled to [-1, 1] (QLoRA, arXiv:2305.14314).
TORCHAO_OPS_CONSTEXPR float value_of(int code) {
  const float values[16] = {-1.0f,
                            -0.6961928009986877f,
                            -0.5250730514526367f,
                            -0.39491748809814453f,
                            -0.28444138169288635f,
                            -0.18477343022823334f,
                            -0.09105003625154495f,
                            0.0f,
                            0.07958029955625534f,
                            0.16093020141124725f,
                            0.24611230194568634f,
                            0.33791524171829224f,
                            0.44070982933044434f,
                            0.5626170039176941f,
                            0.7229568362236023f,
                            1.0f};
  return values[code];
}
constexpr int zero_code = 7;

TORCHAO_OPS_CONSTEXPR int64_t packed_bytes(int64_t count) { return ceil_div(count, 2); }

// Element i of the flattened weight.
TORCHAO_OPS_CONSTEXPR uint8_t code_of(uint8_t byte, int64_t i) {
  return static_cast<uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 0x0f);
}

static_assert(packed_bytes(0) == 0 && packed_bytes(1) == 1 && packed_bytes(99) == 50, "two codes a byte, across rows");
static_assert(code_of(0xa3, 0) == 0xa && code_of(0xa3, 1) == 0x3, "the even element is the high nibble");
static_assert(value_of(zero_code) == 0.0f && value_of(0) == -1.0f && value_of(15) == 1.0f, "sorted, with an exact zero");

// An nf4 weight [N, K] in memory, everything adjacent.
struct Weight {
  const uint8_t* packed;       // [ceil(N * K / 2)]
  const void* absmax;          // [blocks], blocks = ceil(N * K / group_size): numbers, or uint8 codes if there is an absmax_code
  FloatType absmax_type;       // of numbers
  const float* absmax_code;    // [256], or null: absmax are numbers, and what follows is not used
  const float* nested_absmax;  // [ceil(blocks / nested_block_size)]
  const float* absmax_offset;  // [1]
  int64_t nested_block_size;   // >= 1
  int64_t N, K, group_size;    // group_size: elements in a block, a power of two >= 32

  // For templates over formats. A group is a block, counted over the whole weight.
  static constexpr int64_t codes_per_byte = 2;
  static constexpr bool has_zero_points = false;
  TORCHAO_OPS_INLINE static float zero_point_at(int64_t, int64_t) { return 0.0f; }
  TORCHAO_OPS_INLINE const uint8_t* row(int64_t n) const { return packed + n * K / 2; }  // where it begins at a whole byte
  TORCHAO_OPS_INLINE int64_t group_position(int64_t n, int64_t k) const { return n * K + k; }

  TORCHAO_OPS_INLINE uint8_t code(int64_t n, int64_t k) const {
    const int64_t i = n * K + k;
    return code_of(packed[i / 2], i);
  }
  TORCHAO_OPS_INLINE float number(int64_t n, int64_t k) const { return value_of(code(n, k)); }
  TORCHAO_OPS_INLINE float absmax_at(int64_t block) const {
    if (absmax_code == nullptr) return load_float(absmax, absmax_type, block);
    const float product = absmax_code[static_cast<const uint8_t*>(absmax)[block]] * nested_absmax[block / nested_block_size];
    return product + *absmax_offset;
  }
  TORCHAO_OPS_INLINE float scale_at(int64_t, int64_t group) const { return absmax_at(group); }
};

}  // namespace nf4
}  // namespace torchao_ops
