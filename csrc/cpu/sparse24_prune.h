// sparse24_prune on the CPU.
#pragma once

#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_prune.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status sparse24_prune(const Sparse24PruneArgs& args, const Parallel& parallel);

Status sparse24_prune_scalar(const Sparse24PruneArgs& args, const Parallel& parallel);
Status sparse24_prune_avx2(const Sparse24PruneArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
