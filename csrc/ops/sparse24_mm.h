// sparse24_mm and sparse24_dynamic_mm differ in the backend and in the values that they take.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/sparse24_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Computes the product on x's device.
using Sparse24MmBackend = Status (*)(const Sparse24MmArgs& args, const Tensor& x);

// Checks the arguments, allocates y and computes it. `dynamic`: values have 8 bits, so that there is a type for x to be quantized to.
Tensor multiply_sparse24(const char* op, bool dynamic, Sparse24MmBackend backend, const Tensor& x, const Tensor& values,
                         const Tensor& bitmask, const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias);

// A backend's work on the CPU, where a bitmask that keeps too many is an error.
Status run_sparse24_kernel(const char* op, Status (*kernel)(const Sparse24MmArgs&, const Parallel&), Sparse24MmArgs args);

}  // namespace torchao_ops
