// fp8_dynamic_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_mm.h"

namespace torchao_ops::cuda {

int64_t fp8_dynamic_mm_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_dynamic_mm(const Fp8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
