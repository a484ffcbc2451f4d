// fp8_quantize on a CUDA device.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_quantize.h"

namespace torchao_ops::cuda {

int64_t fp8_quantize_workspace_bytes(const Fp8QuantizeArgs& args, const Device& device);
Status fp8_quantize(const Fp8QuantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
