// Quads that keep more than two of their elements: which is the first one.
#pragma once

#include <atomic>

#include "csrc/spec/sparse24.h"

namespace torchao_ops {
namespace {

// A bit in each of the two quads of a byte of bitmask that keeps three or four: both of one pair and one of the other.
TORCHAO_OPS_INLINE uint32_t quads_with_too_many(uint32_t byte) {
  const uint32_t both = byte & byte >> 1, one = byte | byte >> 1;
  return ((both & one >> 2) | (both >> 2 & one)) & 0x11u;
}

// The first quad of a row that keeps too many, or -1.
TORCHAO_OPS_INLINE int64_t first_violation(const uint8_t* bitmask_row, int64_t K) {
  uint8_t any = 0;
  for (int64_t i = 0; i < K / 8; ++i) any |= static_cast<uint8_t>(quads_with_too_many(bitmask_row[i]));
  const int64_t rest = K / 8 * 2;
  for (int64_t quad = any != 0 ? 0 : rest; quad < sparse24::quads(K); ++quad) {
    if (sparse24::keeps_too_many(sparse24::bits_of_quad(bitmask_row, quad, K))) return quad;
  }
  return -1;
}

// The smallest of what several threads note.
class Smallest {
 public:
  TORCHAO_OPS_INLINE void note(int64_t value) {
    int64_t smallest = value_.load(std::memory_order_relaxed);
    while (value < smallest && !value_.compare_exchange_weak(smallest, value, std::memory_order_relaxed)) {
    }
  }
  TORCHAO_OPS_INLINE int64_t or_none() const {
    const int64_t value = value_.load(std::memory_order_relaxed);
    return value == none ? -1 : value;
  }

 private:
  static constexpr int64_t none = INT64_MAX;
  std::atomic<int64_t> value_{none};
};

}  // namespace
}  // namespace torchao_ops
