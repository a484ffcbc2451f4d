// nf4_quantize_absmax on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/nf4_quantize_absmax.h"

namespace torchao_ops::cuda {

Status nf4_quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
