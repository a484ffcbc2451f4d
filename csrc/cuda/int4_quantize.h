// int4_quantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/int4_quantize.h"

namespace torchao_ops::cuda {

Status int4_quantize(const Int4QuantizeArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
