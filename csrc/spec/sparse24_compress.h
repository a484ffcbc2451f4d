// sparse24_compress: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/sparse24.h"

namespace torchao_ops {

// Without a mask, the two elements of each quad that sparse24_prune keeps are kept, as they are, and the others must be zeros (0 or -0; NaN is none). With
// a mask, its elements are kept, as they are, and it must mark at most two of each quad; where it marks fewer, zeros (+0) in the first places
// that it leaves free make two. Bits and slots of a last quad that stand for no element are 0.
struct Sparse24CompressArgs {
  const void* weight;  // [N, K]
  sparse24::ValueType type;
  int64_t weight_row_stride;  // elements
  const uint8_t* mask;        // [N, K], 0 or not, or null
  int64_t mask_row_stride;    // elements
  int64_t N, K;
  void* values;      // [N, 2 * ceil(K / 4)] adjacent, of `type`
  uint8_t* bitmask;  // [N, ceil(K / 8)] adjacent
  // [1]. The first quad, n * ceil(K / 4) + quad, that keeps more than two, and -1 if there is none. If there is one, the other results are undefined.
  int64_t* violation;
};

void sparse24_compress_ref(const Sparse24CompressArgs& args);

}  // namespace torchao_ops
