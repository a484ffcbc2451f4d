// sparse24_mm and sparse24_dynamic_mm on the ordinary cores: everything that tensor cores do not take, in fp32.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

int64_t sparse24_mm_simt_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_mm_simt(const Sparse24MmArgs& args, const Context& context);

int64_t sparse24_dynamic_mm_simt_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_dynamic_mm_simt(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
