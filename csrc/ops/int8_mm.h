// int8_mm and int8_dynamic_mm take the same arguments and differ in the backend only.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/int8_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Computes the product on x's device.
using Int8MmBackend = Status (*)(const Int8MmArgs& args, const Tensor& x);

// Checks the arguments, allocates y and computes it.
Tensor multiply_int8(const char* op, Int8MmBackend backend, const Tensor& x, const Tensor& weight, const Tensor& weight_scale,
                     int64_t group_size, const std::optional<Tensor>& bias);

}  // namespace torchao_ops
