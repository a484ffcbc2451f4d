// sparse24_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

int64_t sparse24_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_mm(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
