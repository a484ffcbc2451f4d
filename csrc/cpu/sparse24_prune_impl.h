// sparse24_prune, for the file of each ISA.
#pragma once

#include "csrc/cpu/quantize_weight.h"
#include "csrc/cpu/sparse24_eight.h"
#include "csrc/cpu/sparse24_prune.h"

namespace torchao_ops {
namespace {

template <class Eight, class T>
TORCHAO_OPS_INLINE void prune_row(const T* weight, int64_t K, uint8_t* mask) {
  int64_t k = 0;
  for (; k + 8 <= K; k += 8) Eight::store_mask(Eight::choose(weight + k).largest, mask + k);
  if (k == K) return;
  T rest[8] = {};  // zeros at the end are chosen last
  uint8_t rest_mask[8];
  for (int64_t i = 0; i < K - k; ++i) rest[i] = weight[k + i];
  Eight::store_mask(Eight::choose(rest).largest, rest_mask);
  for (int64_t i = 0; i < K - k; ++i) mask[k + i] = rest_mask[i];
}

template <class Eight>
TORCHAO_OPS_INLINE Status prune(const Sparse24PruneArgs& args, const Parallel& parallel) {
  with_value_type(args.type, [&](auto zero) {
    using T = decltype(zero);
    for_each_piece_of_rows(args.N, parallel, [&](int64_t begin, int64_t end, int64_t) {
      for (int64_t n = begin; n < end; ++n) {
        prune_row<Eight>(static_cast<const T*>(args.weight) + n * args.weight_row_stride, args.K, args.mask + n * args.K);
      }
    });
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
