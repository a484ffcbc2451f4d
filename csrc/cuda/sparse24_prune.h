// sparse24_prune on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_prune.h"

namespace torchao_ops::cuda {

Status sparse24_prune(const Sparse24PruneArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
