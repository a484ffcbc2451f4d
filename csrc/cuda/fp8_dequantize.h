// fp8_dequantize on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/cuda/matrix_part.h"
#include "csrc/spec/fp8_dequantize.h"

namespace torchao_ops::cuda {

Status fp8_dequantize(const Fp8DequantizeArgs& args, const Context& context);
// A part of the weight: args.out is [part.rows, part.columns]. part.k is a multiple of 8.
Status fp8_dequantize_part(const Fp8DequantizeArgs& args, const MatrixPart& part, const Context& context);

}  // namespace torchao_ops::cuda
