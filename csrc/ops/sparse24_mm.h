// sparse24_mm and sparse24_dynamic_mm differ in the backend and in the values that they take; sparse24_cusparselt_dynamic_mm takes those of the second.
#pragma once

#include "csrc/ops/sparse24_weight.h"
#include "csrc/spec/sparse24_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Computes the product on x's device.
using Sparse24MmBackend = Status (*)(const Sparse24MmArgs& args, const Tensor& x);

// Checks the arguments, of bias its device only. `dynamic`: values have 8 bits, so that there is a type for x to be quantized to.
Sparse24Weight check_sparse24_operands(const char* op, bool dynamic, const Tensor& x, const Tensor& values, const Tensor& bitmask,
                                       const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias);

// Checks them all, allocates y and computes it.
Tensor multiply_sparse24(const char* op, bool dynamic, Sparse24MmBackend backend, const Tensor& x, const Tensor& values,
                         const Tensor& bitmask, const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias);

// A backend's work on the CPU, where a bitmask that keeps too many is an error.
Status run_sparse24_kernel(const char* op, Status (*kernel)(const Sparse24MmArgs&, const Parallel&), Sparse24MmArgs args);

}  // namespace torchao_ops
