// int4_mm and int4_dynamic_mm take the same arguments and differ in the kernel only.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/int4_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

using Int4MmKernel = Status (*)(const Int4MmArgs&, const Parallel&);

// Checks the arguments, allocates y and calls the kernel.
Tensor multiply_int4(const char* op, Int4MmKernel kernel, const Tensor& x, const Tensor& weight_packed,
                     const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point, int64_t group_size,
                     const std::optional<Tensor>& bias);

}  // namespace torchao_ops
