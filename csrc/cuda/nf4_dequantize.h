// nf4_dequantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/cuda/matrix_part.h"
#include "csrc/spec/nf4_dequantize.h"

namespace torchao_ops::cuda {

Status nf4_dequantize(const Nf4DequantizeArgs& args, const Context& context);
// A part of the weight: args.out is [part.rows, part.columns]. If there are several rows, part.k is a multiple of 8.
Status nf4_dequantize_part(const Nf4DequantizeArgs& args, const MatrixPart& part, const Context& context);

}  // namespace torchao_ops::cuda
