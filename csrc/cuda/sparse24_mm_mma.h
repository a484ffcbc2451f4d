// sparse24_mm and sparse24_dynamic_mm on tensor cores (mm_mma.cuh).
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// x in fp16 or bf16, values of the same type or of one byte, and rows of values and bits aligned to 4 bytes.
bool supports_sparse24_mm_mma(const Sparse24MmArgs& args);
int64_t sparse24_mm_mma_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_mm_mma(const Sparse24MmArgs& args, const Context& context);

// Any x, values of one byte, rows aligned as well, and for int8 K <= sparse24_exact_k.
bool supports_sparse24_dynamic_mm_mma(const Sparse24MmArgs& args);
int64_t sparse24_dynamic_mm_mma_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_dynamic_mm_mma(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
