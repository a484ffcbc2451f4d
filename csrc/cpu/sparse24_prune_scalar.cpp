#include "csrc/cpu/sparse24_prune_impl.h"

namespace torchao_ops {

Status sparse24_prune_scalar(const Sparse24PruneArgs& args, const Parallel& parallel) {
  return prune<ScalarEight>(args, parallel);
}

}  // namespace torchao_ops
