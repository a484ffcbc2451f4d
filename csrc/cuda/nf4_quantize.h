// nf4_quantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/nf4_quantize.h"

namespace torchao_ops::cuda {

Status nf4_quantize(const Nf4QuantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
