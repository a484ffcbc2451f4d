// The two tensors of an int8 weight, checked once for every operator that takes them.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {

// Owns what `view` points into: the arguments themselves, or copies where a kernel could not read their strides.
struct Int8Weight {
  Tensor codes, scale;
  int8::Weight view;
};

// What the operators' group_size 0, one scale a row, is for kernels: one group of any K.
int64_t int8_group_size(int64_t group_size);

// Throws unless the tensors are an int8 weight [N, K] with the given group size, which is at least 0; K < 0: whatever K the codes have.
Int8Weight check_int8_weight(const char* op, const Tensor& codes, const Tensor& scale, int64_t group_size, int64_t K = -1);

}  // namespace torchao_ops
