// The two tensors of an fp8 matrix, a weight or activations, checked once for every operator that takes them.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/fp8.h"

namespace torchao_ops {

// float8_e4m3fn or float8_e5m2; returns which.
Float8Type check_float8(const char* op, const char* argument, ScalarType dtype);

// Owns what `view` points into: the arguments themselves, or copies where a kernel could not read their strides.
struct Fp8Matrix {
  Tensor codes, scale;
  fp8::Weight view;
};

// What the sentences call a matrix, its scale, and its number of rows.
struct Fp8Names {
  const char *codes, *scale, *rows;
};
constexpr Fp8Names fp8_weight_names{"weight", "weight_scale", "N"};

// Throws unless the tensors are an fp8 matrix [rows, K], K < 0 meaning whatever K the codes have, and a scale of one of the four granularities (fp8.h),
// which its shape tells.
Fp8Matrix check_fp8_matrix(const char* op, const Fp8Names& names, const Tensor& codes, const Tensor& scale, int64_t K = -1);

}  // namespace torchao_ops
