// fp8_mm and fp8_dynamic_mm take the same arguments and differ in the backend only.
#pragma once

#include "csrc/ops/tensors.h"
#include "csrc/spec/fp8_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

// Computes the product on x's device.
using Fp8MmBackend = Status (*)(const Fp8MmArgs& args, const Tensor& x);

// Checks the arguments, allocates y and computes it.
Tensor multiply_fp8(const char* op, Fp8MmBackend backend, const Tensor& x, const Tensor& weight, const Tensor& weight_scale,
                    const std::optional<Tensor>& bias);

}  // namespace torchao_ops
