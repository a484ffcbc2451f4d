// sparse24_compress on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_compress.h"

namespace torchao_ops::cuda {

// args.violation is on the device, as everything is: who wants to know has to wait.
Status sparse24_compress(const Sparse24CompressArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
