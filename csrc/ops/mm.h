// What every product does once its weight is checked.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Checks the bias, allocates y and has `backend` compute it: x @ w.T + bias. Args is the operator's args struct.
template <class Args>
Tensor multiply(const char* op, Status (*backend)(const Args& args, const Tensor& x), const Tensor& x, FloatType x_type,
                const decltype(Args::weight)& weight, const std::optional<Tensor>& bias) {
  if (bias) {
    check_float(op, "bias", *bias);
    check_shape(op, "bias", *bias, "[N]", {weight.N});
  }
  Tensor y = empty_result(x, weight.N);
  if (y.numel() == 0) return y;
  const Activations activations = as_matrix(x, x_type);
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt;
  check_status(op, backend({mm_args(activations, bias_row, y), weight}, x));
  return y;
}

}  // namespace torchao_ops
