// Pieces of int4 weight rows as floating-point numbers, (code - zero_point) * scale, in vectors.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

template <class V>
class Int4Dequantizer {
 public:
  TORCHAO_OPS_INLINE explicit Int4Dequantizer(const int4::Weight& weight) : w_(weight) {}

  // out[i] = w[n, k + i] for i in [0, count), rounded to T. k is even.
  template <class T>
  TORCHAO_OPS_INLINE void dequantize(int64_t n, int64_t k, int64_t count, T* out) const {
    if (w_.group_size % V::lanes == 0 || w_.group_size >= w_.K) {
      aligned_groups(n, k, count, out);
    } else {
      any_groups(n, k, count, out);
    }
  }

 private:
  using Float = typename V::Float;

  // Groups begin at whole vectors.
  template <class T>
  TORCHAO_OPS_INLINE void aligned_groups(int64_t n, int64_t k, int64_t count, T* out) const {
    const uint8_t* codes = w_.packed + n * w_.packed_row_stride + k / 2;
    int64_t group = k / w_.group_size;
    int64_t group_end = w_.group_size - k % w_.group_size;  // relative to k, like i
    for (int64_t i = 0; i < count; group_end += w_.group_size, ++group) {
      const Float scale = V::set(w_.scale_at(n, group)), zero_point = V::set(w_.zero_point_at(n, group));
      const int64_t end = group_end < count ? group_end : count;
      for (; i + V::lanes <= end; i += V::lanes) {
        V::store(out + i, V::mul(V::sub(V::codes(codes + i / 2), zero_point), scale));
      }
      if (i < end) {  // the end of the piece, perhaps of the row: no byte beyond it may be read, nor written
        uint8_t rest[V::lanes / 2] = {};
        for (int64_t j = 0; 2 * j < end - i; ++j) rest[j] = codes[i / 2 + j];
        T numbers[V::lanes];
        V::store(numbers, V::mul(V::sub(V::codes(rest), zero_point), scale));
        for (int64_t j = 0; i < end; ++i, ++j) out[i] = numbers[j];
      }
    }
  }

  template <class T>
  TORCHAO_OPS_INLINE void any_groups(int64_t n, int64_t k, int64_t count, T* out) const {
    const int64_t k_end = k + count;
    for (int64_t group = k / w_.group_size; k < k_end; ++group) {
      const float scale = w_.scale_at(n, group), zero_point = w_.zero_point_at(n, group);
      const int64_t end = (group + 1) * w_.group_size < k_end ? (group + 1) * w_.group_size : k_end;
      for (; k < end; ++k) from_float((static_cast<float>(w_.code(n, k)) - zero_point) * scale, out++);
    }
  }

  const int4::Weight& w_;
};

}  // namespace
}  // namespace torchao_ops
