// sparse24_dynamic_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// Values of one byte. args.violation as sparse24_mm has it.
int64_t sparse24_dynamic_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_dynamic_mm(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
