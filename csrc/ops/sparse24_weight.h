// The tensors of a 2:4 sparse weight, checked once for every operator that takes them.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops {

// Owns what `view` points into: the arguments themselves, or copies where a kernel could not read their strides.
struct Sparse24Weight {
  Tensor values, bitmask;
  std::optional<Tensor> scale;
  sparse24::Weight view;
};

// float32, float16, bfloat16, int8 or float8_e4m3fn; returns which.
sparse24::ValueType check_sparse24_values(const char* op, const char* argument, const Tensor& values);

// Throws unless the tensors are a 2:4 sparse weight [N, K] whose values have this type. A bitmask that keeps too many is found by the kernels only.
Sparse24Weight check_sparse24_weight(const char* op, const Tensor& values, sparse24::ValueType type, const Tensor& bitmask,
                                     const std::optional<Tensor>& scale, int64_t K);

// Throws what a kernel's violation in a weight of K columns means: which of `argument`'s elements are too many; returns if it is -1.
void check_violation(const char* op, const char* argument, int64_t violation, int64_t K);
// The same for one on the device, which is waited for.
void check_violation(const char* op, const char* argument, const Tensor& violation, int64_t K);

}  // namespace torchao_ops
