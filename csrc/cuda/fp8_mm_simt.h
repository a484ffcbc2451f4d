// fp8_mm and fp8_dynamic_mm on the ordinary cores: everything that tensor cores do not take, in fp32.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_mm.h"

namespace torchao_ops::cuda {

int64_t fp8_mm_simt_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_mm_simt(const Fp8MmArgs& args, const Context& context);

int64_t fp8_dynamic_mm_simt_workspace_bytes(const Fp8MmArgs& args, const Device& device);
Status fp8_dynamic_mm_simt(const Fp8MmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
