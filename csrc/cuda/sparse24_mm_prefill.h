// sparse24_mm for many rows of x: the weight is made dense, of x's type and scaled, in the workspace, and cuBLASLt multiplies.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// A bias of another type than x's is rounded to it first.
int64_t sparse24_mm_prefill_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_mm_prefill(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
