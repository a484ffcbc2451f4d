// fp8_mm for many rows of x: the weight is dequantized to x's type in the workspace, and cuBLASLt multiplies.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_mm.h"

namespace torchao_ops::cuda {

// A bias of another type than x's is rounded to it first.
int64_t fp8_mm_prefill_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_mm_prefill(const Fp8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
