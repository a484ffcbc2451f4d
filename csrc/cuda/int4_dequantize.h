// int4_dequantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int4_dequantize.h"

namespace torchao_ops::cuda {

Status int4_dequantize(const Int4DequantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
