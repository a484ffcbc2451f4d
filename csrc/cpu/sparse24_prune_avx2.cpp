#include "csrc/cpu/sparse24_eight_avx2.h"
#include "csrc/cpu/sparse24_prune_impl.h"

namespace torchao_ops {

Status sparse24_prune_avx2(const Sparse24PruneArgs& args, const Parallel& parallel) { return prune<Avx2Eight>(args, parallel); }

}  // namespace torchao_ops
