// int8_dynamic_mm for many rows of x: x is quantized into the workspace, cuBLASLt forms the integer sums, and a last kernel scales them.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_mm.h"

namespace torchao_ops::cuda {

// One scale a row, K <= int8_exact_k (so the sums are exact), and what supports_int8_gemm asks of the weight. The bits are those of every other
// kernel (int8_mm.h).
bool supports_int8_dynamic_mm_prefill(const Int8MmArgs& args);
int64_t int8_dynamic_mm_prefill_workspace_bytes(const Int8MmArgs& args, const Device& device);
Status int8_dynamic_mm_prefill(const Int8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
