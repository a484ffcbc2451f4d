// The tensors of an nf4 weight, checked once for every operator that takes them.
#pragma once

#include <optional>

#include "csrc/ops/tensors.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {

// As an operator gets them.
struct Nf4Arguments {
  const Tensor& packed;
  const Tensor& absmax;
  int64_t block_size;
  const std::optional<Tensor>& absmax_code;
  const std::optional<Tensor>& nested_absmax;
  const std::optional<Tensor>& absmax_offset;
  int64_t nested_block_size;
};

// Owns what `view` points into: the arguments themselves, or copies where a kernel could not read their strides.
struct Nf4Weight {
  Tensor packed, absmax;
  std::optional<Tensor> absmax_code, nested_absmax, absmax_offset;
  nf4::Weight view;
};

// Throws unless all are on the device of `first`.
void check_nf4_devices(const char* op, const Nf4Arguments& arguments, const char* first_name, const Tensor& first);

void check_block_size(const char* op, int64_t block_size);

// Throws unless a weight may have `features` for one of its sizes where it has `others` for the other one.
void check_features(const char* op, const char* argument, int64_t features, int64_t others);

// Throws unless the tensors are an nf4 weight [N, K]. `count_name` is what the operator calls N * K, which must be below 2^63.
Nf4Weight check_nf4_weight(const char* op, const Nf4Arguments& arguments, int64_t N, int64_t K, const std::string& count_name);

}  // namespace torchao_ops
