// Pieces of int4 weight rows as floating-point numbers, (code - zero_point) * scale, in vectors.
#pragma once

#include "csrc/cpu/int4_scales.h"
#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// A tile, some rows of an int4 weight, dequantized columns [k, k + count) at a time. What depends on the rows only (scales and zero points as
// fp32) is worked out once a tile, what depends on k only once for all rows: done for each piece of 128 codes, they would take as long
// as the codes.
template <class V>
class Int4Dequantizer {
 public:
  // fp32 numbers that a tile of `rows` rows needs as scratch.
  TORCHAO_OPS_INLINE static int64_t scratch_size(const int4::Weight& w, int64_t rows) {
    return 2 * rows * group_count(w.K, w.group_size);
  }

  TORCHAO_OPS_INLINE Int4Dequantizer(const int4::Weight& weight, float* scratch)
      : w_(weight),
        G_(group_count(weight.K, weight.group_size)),
        group_step_(weight.group_size < weight.K ? weight.group_size : weight.K),
        whole_vectors_(weight.group_size % V::lanes == 0 || weight.group_size >= weight.K),
        scales_(scratch) {}

  // The tile: rows [n_begin, n_begin + rows).
  TORCHAO_OPS_INLINE void set_rows(int64_t n_begin, int64_t rows) {
    n_begin_ = n_begin;
    zero_points_ = scales_ + rows * G_;
    for (int64_t i = 0; i < rows; ++i) expand_scales<V>(w_, n_begin + i, scales_ + i * G_, zero_points_ + i * G_);
  }

  // The columns; k is even.
  TORCHAO_OPS_INLINE void set_columns(int64_t k, int64_t count) {
    k_ = k;
    count_ = count;
    first_group_ = k / w_.group_size;
    const int64_t group_left = w_.group_size - k % w_.group_size;
    first_end_ = group_left < count ? group_left : count;
  }

  // out[i] = w[n_begin + row, k + i] for i in [0, count), rounded to T.
  template <class T>
  TORCHAO_OPS_INLINE void dequantize(int64_t row, T* out) const {
    prefetch_next(row);
    if (whole_vectors_) {
      groups_of_vectors(row, out);
    } else {
      any_groups(row, out);
    }
  }

  // Asks for the codes of the row that follow these columns: a tile takes a few lines from each of many rows, which no hardware prefetcher
  // foresees. They are wanted when the same rows come again with the next columns.
  TORCHAO_OPS_INLINE void prefetch_next(int64_t row) const {
    const char* next = reinterpret_cast<const char*>(codes(row) + count_ / 2);
    for (int64_t byte = 0; byte < count_ / 2; byte += 64) __builtin_prefetch(next + byte);
  }

  // Of the row's first column.
  TORCHAO_OPS_INLINE const uint8_t* codes(int64_t row) const {
    return w_.packed + (n_begin_ + row) * w_.packed_row_stride + k_ / 2;
  }

  // Calls piece(begin, end, scale, zero_point) for each group's part [begin, end) of the columns, in order.
  template <class Piece>
  TORCHAO_OPS_INLINE void for_each_group(int64_t row, const Piece& piece) const {
    const float* scale = scales_ + row * G_ + first_group_;
    const float* zero_point = zero_points_ + row * G_ + first_group_;
    int64_t begin = 0;
    for (int64_t group_end = first_end_; begin < count_; group_end += group_step_) {
      const int64_t end = group_end < count_ ? group_end : count_;
      piece(begin, end, *scale++, *zero_point++);
      begin = end;
    }
  }

 private:
  // Groups begin at whole vectors.
  template <class T>
  TORCHAO_OPS_INLINE void groups_of_vectors(int64_t row, T* out) const {
    const uint8_t* packed = codes(row);
    for_each_group(row, [&](int64_t begin, int64_t end, float group_scale, float group_zero_point) {
      const auto scale = V::set(group_scale), zero_point = V::set(group_zero_point);
      const int64_t vectors = (end - begin) / V::lanes;
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v, packed += V::lanes / 2, out += V::lanes) {
        V::store(out, V::mul(V::sub(V::codes(packed), zero_point), scale));
      }
      const int64_t left = (end - begin) % V::lanes;
      if (left != 0) {  // the end of the columns, perhaps of the row: no byte beyond may be read, nor written
        uint8_t rest[V::lanes / 2] = {};
        for (int64_t j = 0; 2 * j < left; ++j) rest[j] = packed[j];
        T numbers[V::lanes];
        V::store(numbers, V::mul(V::sub(V::codes(rest), zero_point), scale));
        for (int64_t j = 0; j < left; ++j) out[j] = numbers[j];
      }
    });
  }

  template <class T>
  TORCHAO_OPS_INLINE void any_groups(int64_t row, T* out) const {
    const uint8_t* packed = codes(row);
    for_each_group(row, [&](int64_t i, int64_t end, float scale, float zero_point) {
      for (; i < end; ++i) from_float((static_cast<float>(int4::code_of(packed[i / 2], i)) - zero_point) * scale, out + i);
    });
  }

  const int4::Weight& w_;
  const int64_t G_;
  const int64_t group_step_;  // group_size, which may be anything beyond K
  const bool whole_vectors_;
  float* const scales_;  // [rows, G], and zero_points_ behind them
  float* zero_points_ = nullptr;
  int64_t n_begin_ = 0, k_ = 0, count_ = 0, first_group_ = 0, first_end_ = 0;
};

}  // namespace
}  // namespace torchao_ops
