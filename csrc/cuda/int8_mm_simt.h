// The int8 products on the ordinary cores: everything that tensor cores do not take, in fp32.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_mm.h"

namespace torchao_ops::cuda {

int64_t int8_mm_simt_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_mm_simt(const Int8MmArgs& args, const Context& context);
int64_t int8_dynamic_mm_simt_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_dynamic_mm_simt(const Int8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
