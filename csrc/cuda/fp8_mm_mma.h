// fp8_mm and fp8_dynamic_mm on tensor cores (mm_mma.cuh).
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_mm.h"

namespace torchao_ops::cuda {

// x in fp16 or bf16, weight rows aligned to 4 bytes, a group size that is a multiple of 32 or at least K.
bool supports_fp8_mm_mma(const Fp8MmArgs& args);
int64_t fp8_mm_mma_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_mm_mma(const Fp8MmArgs& args, const Context& context);

// The same for fp8_dynamic_mm, with x of any type.
bool supports_fp8_dynamic_mm_mma(const Fp8MmArgs& args);
int64_t fp8_dynamic_mm_mma_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_dynamic_mm_mma(const Fp8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
