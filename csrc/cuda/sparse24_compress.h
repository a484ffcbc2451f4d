// sparse24_compress on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_compress.h"

namespace torchao_ops::cuda {

Status sparse24_compress(const Sparse24CompressArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
