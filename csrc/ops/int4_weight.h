// The three tensors of an int4 weight, checked once for every operator that takes them.
#pragma once

#include <optional>

#include "csrc/ops/tensors.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {

// Owns what `view` points into: the arguments themselves, or copies where a kernel could not read their strides.
struct Int4Weight {
  Tensor packed, scale;
  std::optional<Tensor> zero_point;
  int4::Weight view;
};

// Throws unless the tensors are an int4 weight [N, K] with the given group size. `K_name` is what the operator calls K.
Int4Weight check_int4_weight(const char* op, const Tensor& packed, const Tensor& scale, const std::optional<Tensor>& zero_point,
                             int64_t group_size, int64_t K, const char* K_name);

}  // namespace torchao_ops
