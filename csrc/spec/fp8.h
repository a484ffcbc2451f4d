// The format of fp8 matrices: weights, and activations where both operands are fp8.
#pragma once

#include "csrc/spec/float8.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {

// fp8: an 8-bit float for each element, and scales: the bytes of compressed-tensors' `float-quantized` and of DeepSeek's block scales.
//   w[n, k] = number[n, k] * scale[n / row_block, k / group_size]
// Any number may be there, NaN and e5m2's Inf included; the quantizer makes finite ones only.
namespace fp8 {

// row_block or group_size of a scale for all rows or for a whole row. The four granularities of the operators, as row_block x group_size:
//   tensor: all x all    row: 1 x all    block: 128 x 128    group: 1 x 128
constexpr int64_t all = INT64_MAX;
constexpr int64_t block = 128;

// A matrix [N, K] in memory. Rows may lie apart (strides), the elements of a row may not.
struct Weight {
  const void* codes;  // [N, K]
  Float8Type type;
  int64_t row_stride;  // elements
  const void* scale;   // [ceil(N / row_block), G], G = ceil(K / group_size)
  FloatType scale_type;
  int64_t scale_row_stride, scale_column_stride;  // elements
  int64_t N, K, row_block, group_size;            // row_block >= 1, group_size >= 1

  // For templates over formats.
  static constexpr int64_t codes_per_byte = 1;
  static constexpr bool has_zero_points = false;
  TORCHAO_OPS_INLINE const uint8_t* row(int64_t n) const { return static_cast<const uint8_t*>(codes) + n * row_stride; }
  TORCHAO_OPS_INLINE static float zero_point_at(int64_t, int64_t) { return 0.0f; }
  TORCHAO_OPS_INLINE int64_t group_position(int64_t, int64_t k) const { return k; }

  TORCHAO_OPS_INLINE float number(int64_t n, int64_t k) const { return load_float8(codes, type, n * row_stride + k); }
  TORCHAO_OPS_INLINE float scale_at(int64_t n, int64_t group) const {
    return load_float(scale, scale_type, n / row_block * scale_row_stride + group * scale_column_stride);
  }
};

}  // namespace fp8
}  // namespace torchao_ops
