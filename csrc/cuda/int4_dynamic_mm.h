// int4_dynamic_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int4_mm.h"

namespace torchao_ops::cuda {

int64_t int4_dynamic_mm_workspace_bytes(const Int4MmArgs& args, const Device& device);
Status int4_dynamic_mm(const Int4MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
