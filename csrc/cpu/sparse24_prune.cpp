#include "csrc/cpu/sparse24_prune.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status sparse24_prune(const Sparse24PruneArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa >= Isa::avx2) return sparse24_prune_avx2(args, parallel);
  return sparse24_prune_scalar(args, parallel);
}

}  // namespace torchao_ops
