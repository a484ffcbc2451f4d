// sparse24_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// args.violation, on the device, costs a kernel of its own that reads the bitmask; without one only y says it.
int64_t sparse24_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_mm(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
