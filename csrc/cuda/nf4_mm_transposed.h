// nf4_mm_transposed on a CUDA device, for any number of rows of x: the weight is dequantized to x's type in the workspace, a part of its columns at a
// time, and cuBLASLt multiplies.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/nf4_mm.h"

namespace torchao_ops::cuda {

int64_t nf4_mm_transposed_workspace_bytes(const Nf4MmArgs& args, const Device& device);
Status nf4_mm_transposed(const Nf4MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
