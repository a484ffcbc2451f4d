// sparse24_compress, for the file of each ISA.
#pragma once

#include "csrc/cpu/quantize_weight.h"
#include "csrc/cpu/sparse24_compress.h"
#include "csrc/cpu/sparse24_eight.h"
#include "csrc/cpu/sparse24_violation.h"

namespace torchao_ops {
namespace {

// Two quads of a bitmask with their first free bits set until each has two, or more if it had.
struct CompletedQuads {
  uint8_t bits[16];
};
constexpr CompletedQuads make_completed_quads() {
  CompletedQuads completed = {};
  for (int quad = 0; quad < 16; ++quad) {
    int bits = quad;
    for (int i = 0; i < 4; ++i) {
      if (sparse24::kept(bits) < 2) bits |= 1 << i;
    }
    completed.bits[quad] = static_cast<uint8_t>(bits);
  }
  return completed;
}
constexpr CompletedQuads completed_quads = make_completed_quads();

struct Compressed {
  uint32_t bits;  // of the bitmask
  uint32_t bad;   // those of quads that cannot be compressed are not all 0
};

// mask: null if there is none.
template <class Eight, class T>
TORCHAO_OPS_INLINE Compressed compress_eight(const T* weight, const uint8_t* mask, T* values) {
  if (mask == nullptr) {
    const Choice choice = Eight::choose(weight);
    Eight::pack(weight, choice.largest, choice.largest, values);
    return {choice.largest, choice.nonzero & ~choice.largest};
  }
  const uint32_t marked = Eight::load_mask(mask), bad = quads_with_too_many(marked);
  if (bad != 0) return {0, bad};
  const uint32_t kept = completed_quads.bits[marked & 15] | static_cast<uint32_t>(completed_quads.bits[marked >> 4]) << 4;
  Eight::pack(weight, kept, marked, values);
  return {kept, 0};
}

// Returns the first quad that cannot be compressed, or -1.
template <class Eight, class T>
TORCHAO_OPS_INLINE int64_t compress_row(const T* weight, const uint8_t* mask, int64_t K, T* values, uint8_t* bitmask) {
  int64_t k = 0;
  for (; k + 8 <= K; k += 8) {
    const Compressed c = compress_eight<Eight>(weight + k, mask == nullptr ? nullptr : mask + k, values + k / 2);
    if (c.bad != 0) return k / 4 + ((c.bad & 15) != 0 ? 0 : 1);
    bitmask[k / 8] = static_cast<uint8_t>(c.bits);
  }
  if (k == K) return -1;
  T rest[8] = {}, rest_values[4];  // zeros at the end are chosen last
  uint8_t rest_mask[8] = {};
  for (int64_t i = 0; i < K - k; ++i) rest[i] = weight[k + i];
  for (int64_t i = 0; mask != nullptr && i < K - k; ++i) rest_mask[i] = mask[k + i];
  const Compressed c = compress_eight<Eight>(rest, mask == nullptr ? nullptr : rest_mask, rest_values);
  if (c.bad != 0) return k / 4 + ((c.bad & 15) != 0 ? 0 : 1);
  bitmask[k / 8] = static_cast<uint8_t>(c.bits & ((1u << (K - k)) - 1));
  for (int64_t i = 0; i < sparse24::value_columns(K - k); ++i) values[k / 2 + i] = rest_values[i];
  return -1;
}

template <class Eight>
TORCHAO_OPS_INLINE Status compress(const Sparse24CompressArgs& args, const Parallel& parallel) {
  const int64_t K = args.K, quads = sparse24::quads(K);
  Smallest violation;
  with_value_type(args.type, [&](auto zero) {
    using T = decltype(zero);
    for_each_piece_of_rows(args.N, parallel, [&](int64_t begin, int64_t end, int64_t) {
      for (int64_t n = begin; n < end; ++n) {
        const int64_t bad = compress_row<Eight>(static_cast<const T*>(args.weight) + n * args.weight_row_stride,
                                                args.mask == nullptr ? nullptr : args.mask + n * args.mask_row_stride, K,
                                                static_cast<T*>(args.values) + n * sparse24::value_columns(K),
                                                args.bitmask + n * sparse24::bitmask_columns(K));
        if (bad >= 0) return violation.note(n * quads + bad);
      }
    });
  });
  *args.violation = violation.or_none();
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
