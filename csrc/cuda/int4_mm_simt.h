// The int4 products on the ordinary cores: everything that tensor cores do not take, in fp32.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int4_mm.h"

namespace torchao_ops::cuda {

int64_t int4_mm_simt_workspace_bytes(const Int4MmArgs& args, const Device& device);
Status int4_mm_simt(const Int4MmArgs& args, const Context& context);
int64_t int4_dynamic_mm_simt_workspace_bytes(const Int4MmArgs& args, const Device& device);
Status int4_dynamic_mm_simt(const Int4MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
