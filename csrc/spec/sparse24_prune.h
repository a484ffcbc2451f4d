// sparse24_prune: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/sparse24.h"

namespace torchao_ops {

// mask = 1 for the two largest magnitudes of each quad, the lower index first where they are equal. NaN counts as larger than Inf, so that a broken
// weight stays visible; -0 and 0 are equal. Of a last quad of one or two elements all are kept.
struct Sparse24PruneArgs {
  const void* weight;  // [N, K]
  sparse24::ValueType type;
  int64_t weight_row_stride;  // elements
  int64_t N, K;
  uint8_t* mask;  // [N, K] adjacent, 0 or 1
};

void sparse24_prune_ref(const Sparse24PruneArgs& args);

}  // namespace torchao_ops
