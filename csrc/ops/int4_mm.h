// int4_mm and int4_dynamic_mm take the same arguments and differ in the backend only.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/int4_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Computes the product on x's device.
using Int4MmBackend = Status (*)(const Int4MmArgs& args, const Tensor& x);

// Checks the arguments, allocates y and computes it.
Tensor multiply_int4(const char* op, Int4MmBackend backend, const Tensor& x, const Tensor& weight_packed,
                     const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point, int64_t group_size,
                     const std::optional<Tensor>& bias);

}  // namespace torchao_ops
