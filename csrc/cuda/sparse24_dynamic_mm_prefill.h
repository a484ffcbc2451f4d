// sparse24_dynamic_mm for many rows of x: x is rounded and the weight made dense in the workspace, cuBLASLt forms the sums, and a last kernel scales
// them.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// M, N and K at least 1; for int8 K <= sparse24_exact_k: then the bits are those of every other kernel.
bool supports_sparse24_dynamic_mm_prefill(const Sparse24MmArgs& args);
int64_t sparse24_dynamic_mm_prefill_workspace_bytes(const Sparse24MmArgs& args, const Device& device);
Status sparse24_dynamic_mm_prefill(const Sparse24MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
