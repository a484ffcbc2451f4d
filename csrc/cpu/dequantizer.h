// Pieces of weight rows as floating-point numbers, (code - zero_point) * scale, in vectors.
#pragma once

#include "csrc/cpu/scales.h"
#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// A vector of consecutive codes of a row, which begin at p.
template <class V>
TORCHAO_OPS_INLINE typename V::Float load_codes(const int4::Weight&, const uint8_t* p) {
  return V::int4_codes(p);
}
template <class V>
TORCHAO_OPS_INLINE typename V::Float load_codes(const int8::Weight&, const uint8_t* p) {
  return V::int8_codes(p);
}

// A tile, some rows of a weight, dequantized columns [k, k + count) at a time. What depends on the rows only (scales and zero points as
// fp32) is worked out once a tile, what depends on k only once for all rows: done for each piece of 128 codes, they would take as long
// as the codes.
template <class V, class Weight>
class Dequantizer {
 protected:
  static constexpr int64_t per_byte = Weight::codes_per_byte;

 public:
  // fp32 numbers that a tile of `rows` rows needs as scratch.
  TORCHAO_OPS_INLINE static int64_t scratch_size(const Weight& w, int64_t rows) {
    return (Weight::has_zero_points ? 2 : 1) * rows * group_count(w.K, w.group_size);
  }

  TORCHAO_OPS_INLINE Dequantizer(const Weight& weight, float* scratch)
      : w_(weight),
        G_(group_count(weight.K, weight.group_size)),
        group_step_(weight.group_size < weight.K ? weight.group_size : weight.K),
        vectors_(per_byte == 1 || weight.group_size % V::lanes == 0 || weight.group_size >= weight.K),
        scales_(scratch) {}

  // The tile: rows [n_begin, n_begin + rows).
  TORCHAO_OPS_INLINE void set_rows(int64_t n_begin, int64_t rows) {
    n_begin_ = n_begin;
    zero_points_ = scales_ + rows * G_;
    for (int64_t i = 0; i < rows; ++i) expand_scales<V>(w_, n_begin + i, scales_ + i * G_, zero_points_ + i * G_);
  }

  // The columns; k is at a whole byte.
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
    if (vectors_) {
      in_vectors(row, out);
    } else {
      one_by_one(row, out);
    }
  }

  // Asks for the codes of the row that follow these columns: a tile takes a few lines from each of many rows, which no hardware prefetcher
  // foresees. They are wanted when the same rows come again with the next columns.
  TORCHAO_OPS_INLINE void prefetch_next(int64_t row) const {
    const char* next = reinterpret_cast<const char*>(codes(row) + count_ / per_byte);
    for (int64_t byte = 0; byte < count_ / per_byte; byte += 64) __builtin_prefetch(next + byte);
  }

  // Of the row's first column.
  TORCHAO_OPS_INLINE const uint8_t* codes(int64_t row) const { return w_.row(n_begin_ + row) + k_ / per_byte; }

  // Calls piece(begin, end, scale, zero_point) for each group's part [begin, end) of the columns, in order.
  template <class Piece>
  TORCHAO_OPS_INLINE void for_each_group(int64_t row, const Piece& piece) const {
    const float* scale = scales_ + row * G_ + first_group_;
    const float* zero_point = Weight::has_zero_points ? zero_points_ + row * G_ + first_group_ : nullptr;
    int64_t begin = 0;
    for (int64_t group_end = first_end_; begin < count_; group_end += group_step_) {
      const int64_t end = group_end < count_ ? group_end : count_;
      piece(begin, end, *scale++, Weight::has_zero_points ? *zero_point++ : 0.0f);
      begin = end;
    }
  }

 protected:
  TORCHAO_OPS_INLINE typename V::Float numbers(const uint8_t* p, typename V::Float scale, typename V::Float zero_point) const {
    const typename V::Float code = load_codes<V>(w_, p);
    return V::mul(Weight::has_zero_points ? V::sub(code, zero_point) : code, scale);
  }

 private:
  // Every group begins at a whole byte, and int4 ones, but for the last, end at a whole vector.
  template <class T>
  TORCHAO_OPS_INLINE void in_vectors(int64_t row, T* out) const {
    const uint8_t* p = codes(row);
    for_each_group(row, [&](int64_t begin, int64_t end, float group_scale, float group_zero_point) {
      const auto scale = V::set(group_scale), zero_point = V::set(group_zero_point);
      const int64_t vectors = (end - begin) / V::lanes;
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v, p += V::lanes / per_byte, out += V::lanes) {
        V::store(out, numbers(p, scale, zero_point));
      }
      const int64_t left = (end - begin) % V::lanes;
      if (left != 0) {  // perhaps the end of the row: no byte beyond may be read, nor written
        uint8_t rest[V::lanes / per_byte] = {};
        for (int64_t j = 0; per_byte * j < left; ++j) rest[j] = p[j];
        T rest_out[V::lanes];
        V::store(rest_out, numbers(rest, scale, zero_point));
        for (int64_t j = 0; j < left; ++j) out[j] = rest_out[j];
        p += left / per_byte;
        out += left;
      }
    });
  }

  template <class T>
  TORCHAO_OPS_INLINE void one_by_one(int64_t row, T* out) const {
    const uint8_t* p = codes(row);
    for_each_group(row, [&](int64_t i, int64_t end, float scale, float zero_point) {
      for (; i < end; ++i) from_float((static_cast<float>(Weight::code_in(p, i)) - zero_point) * scale, out + i);
    });
  }

  const Weight& w_;
  const int64_t G_;
  const int64_t group_step_;  // group_size, which may be anything beyond K
  const bool vectors_;
  float* const scales_;  // [rows, G], and zero_points_ behind them
  float* zero_points_ = nullptr;
  int64_t n_begin_ = 0, k_ = 0, count_ = 0, first_group_ = 0, first_end_ = 0;
};

}  // namespace
}  // namespace torchao_ops
