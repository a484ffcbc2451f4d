// int8_quantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_quantize.h"

namespace torchao_ops::cuda {

Status int8_quantize(const Int8QuantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
