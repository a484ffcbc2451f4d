// sparse24_decompress on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_decompress.h"

namespace torchao_ops::cuda {

Status sparse24_decompress(const Sparse24DecompressArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
