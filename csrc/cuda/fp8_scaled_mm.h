// fp8_scaled_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_scaled_mm.h"

namespace torchao_ops::cuda {

int64_t fp8_scaled_mm_workspace_bytes(const Fp8ScaledMmArgs& args, const Device& device);
Status fp8_scaled_mm(const Fp8ScaledMmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
