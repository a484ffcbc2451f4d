// int8_mm on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_mm.h"

namespace torchao_ops::cuda {

int64_t int8_mm_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_mm(const Int8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
