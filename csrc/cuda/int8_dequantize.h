// int8_dequantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int8_dequantize.h"

namespace torchao_ops::cuda {

Status int8_dequantize(const Int8DequantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
