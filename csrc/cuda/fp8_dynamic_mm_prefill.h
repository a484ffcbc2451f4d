// fp8_dynamic_mm for many rows of x: x is rounded to fp8 into the workspace, and cuBLASLt multiplies (fp8_product.h).
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_mm.h"

namespace torchao_ops::cuda {

// K >= 1, and what need not be dequantized to fp32 on the device.
bool supports_fp8_dynamic_mm_prefill(const Fp8MmArgs& args, const Device& device);
int64_t fp8_dynamic_mm_prefill_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_dynamic_mm_prefill(const Fp8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
