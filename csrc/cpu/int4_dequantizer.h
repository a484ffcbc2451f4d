// Pieces of int4 weight rows as floating-point numbers, (code - zero_point) * scale, in vectors.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// Columns [k, k + count) of an int4 weight, row by row. What depends on k only is worked out once: an integer division costs as much as
// dequantizing 16 codes.
template <class V>
class Int4Columns {
 public:
  // k is even.
  TORCHAO_OPS_INLINE Int4Columns(const int4::Weight& weight, int64_t k, int64_t count)
      : w_(weight),
        k_(k),
        count_(count),
        first_group_(k / weight.group_size),
        first_end_(weight.group_size - k % weight.group_size),
        whole_vectors_(weight.group_size % V::lanes == 0 || weight.group_size >= weight.K) {}

  // out[i] = w[n, k + i] for i in [0, count), rounded to T.
  template <class T>
  TORCHAO_OPS_INLINE void dequantize(int64_t n, T* out) const {
    prefetch_next(n);
    if (whole_vectors_) {
      groups_of_vectors(n, out);
    } else {
      any_groups(n, out);
    }
  }

  // Asks for the codes of row n that follow these columns: a tile takes a few lines from each of many rows, which no hardware prefetcher
  // foresees. They are wanted when the same rows come again with the next k.
  TORCHAO_OPS_INLINE void prefetch_next(int64_t n) const {
    const char* next = reinterpret_cast<const char*>(w_.packed + n * w_.packed_row_stride + (k_ + count_) / 2);
    for (int64_t byte = 0; byte < count_ / 2; byte += 64) __builtin_prefetch(next + byte);
  }

 private:
  using Float = typename V::Float;

  // Groups begin at whole vectors.
  template <class T>
  TORCHAO_OPS_INLINE void groups_of_vectors(int64_t n, T* out) const {
    const uint8_t* codes = w_.packed + n * w_.packed_row_stride + k_ / 2;
    int64_t group = first_group_, group_end = first_end_;  // the end is relative to k, like i
    for (int64_t i = 0; i < count_; group_end += w_.group_size, ++group) {
      const Float scale = V::set(w_.scale_at(n, group)), zero_point = V::set(w_.zero_point_at(n, group));
      const int64_t end = group_end < count_ ? group_end : count_;
      for (; i + V::lanes <= end; i += V::lanes) {
        V::store(out + i, V::mul(V::sub(V::codes(codes + i / 2), zero_point), scale));
      }
      if (i < end) {  // the end of the columns, perhaps of the row: no byte beyond may be read, nor written
        uint8_t rest[V::lanes / 2] = {};
        for (int64_t j = 0; 2 * j < end - i; ++j) rest[j] = codes[i / 2 + j];
        T numbers[V::lanes];
        V::store(numbers, V::mul(V::sub(V::codes(rest), zero_point), scale));
        for (int64_t j = 0; i < end; ++i, ++j) out[i] = numbers[j];
      }
    }
  }

  template <class T>
  TORCHAO_OPS_INLINE void any_groups(int64_t n, T* out) const {
    int64_t group_end = first_end_, i = 0;
    for (int64_t group = first_group_; i < count_; ++group, group_end += w_.group_size) {
      const float scale = w_.scale_at(n, group), zero_point = w_.zero_point_at(n, group);
      const int64_t end = group_end < count_ ? group_end : count_;
      for (; i < end; ++i) from_float((static_cast<float>(w_.code(n, k_ + i)) - zero_point) * scale, out + i);
    }
  }

  const int4::Weight& w_;
  const int64_t k_, count_, first_group_, first_end_;
  const bool whole_vectors_;
};

}  // namespace
}  // namespace torchao_ops
