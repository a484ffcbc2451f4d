// nf4_mm on tensor cores (mm_mma.cuh).
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/nf4_mm.h"

namespace torchao_ops::cuda {

// x in fp16 or bf16, a weight aligned to 4 bytes, and K a multiple of 32 or a single row, so that 32 elements lie in one block.
bool supports_nf4_mm_mma(const Nf4MmArgs& args);
int64_t nf4_mm_mma_workspace_bytes(const Nf4MmArgs& args, const Device& device);
Status nf4_mm_mma(const Nf4MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
