// The int8 products on tensor cores (mm_mma.cuh).
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_mm.h"

namespace torchao_ops::cuda {

// x in fp16 or bf16, weight rows aligned to 4 bytes, a group size that is a multiple of 32 or at least K.
bool supports_int8_mm_mma(const Int8MmArgs& args);
int64_t int8_mm_mma_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_mm_mma(const Int8MmArgs& args, const Context& context);

// The same for int8_dynamic_mm, with x of any type.
bool supports_int8_dynamic_mm_mma(const Int8MmArgs& args);
int64_t int8_dynamic_mm_mma_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_dynamic_mm_mma(const Int8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
