// nf4_mm on the ordinary cores: everything that tensor cores do not take, in fp32.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/nf4_mm.h"

namespace torchao_ops::cuda {

int64_t nf4_mm_simt_workspace_bytes(const Nf4MmArgs& args, const Device& device);
Status nf4_mm_simt(const Nf4MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
