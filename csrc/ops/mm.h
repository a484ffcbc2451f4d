// What every product does once its weight is checked.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Allocates y [..., columns] and has `backend` compute it, all arguments being checked. Args is the operator's args struct.
template <class Args>
Tensor run_product(const char* op, Status (*backend)(const Args& args, const Tensor& x), const Tensor& x, FloatType x_type,
                   const decltype(Args::weight)& weight, int64_t columns, const std::optional<Tensor>& bias) {
  Tensor y = empty_result(x, columns);
  if (y.numel() == 0) return y;
  const Activations activations = as_matrix(x, x_type);
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt;
  Args args{};
  args.mm = mm_args(activations, bias_row, y);
  args.weight = weight;
  check_status(op, backend(args, x));
  return y;
}

inline void check_bias(const char* op, const std::optional<Tensor>& bias, int64_t N) {
  if (!bias) return;
  check_float(op, "bias", *bias);
  check_shape(op, "bias", *bias, "[N]", {N});
}

// x @ w.T + bias: checks the bias, too.
template <class Args>
Tensor multiply(const char* op, Status (*backend)(const Args& args, const Tensor& x), const Tensor& x, FloatType x_type,
                const decltype(Args::weight)& weight, const std::optional<Tensor>& bias) {
  check_bias(op, bias, weight.N);
  return run_product(op, backend, x, x_type, weight, weight.N, bias);
}

}  // namespace torchao_ops
