// Stretches of an nf4 weight as floating-point numbers, value_of(code) * absmax, in vectors. A stretch may begin and end anywhere in a block and in a byte.
#pragma once

#include "csrc/cpu/scales.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// The numbers of a block, for each ISA (nf4_lookup_avx2.h, nf4_lookup_avx512.h): Nf4Block(absmax), and numbers(p, store), which hands the 32 that are
// packed in the 16 bytes at p to store(i, vector i of them), in order and rounded to T.
template <class V, class T>
class Nf4Block;

enum class Stores { cached, streaming };

// out[i] = number i of a block, for i in [0, count); the first code is at a whole byte.
template <class V, class T, Stores stores>
TORCHAO_OPS_INLINE void dequantize_block(const uint8_t* packed, int64_t count, float absmax, T* out) {
  constexpr int64_t at_once = 32, in_vector = V::lanes * 4 / static_cast<int64_t>(sizeof(T));
  const Nf4Block<V, T> block(absmax);
  int64_t i = 0;
  for (; i + at_once <= count; i += at_once) {
    block.numbers(packed + i / 2, [&](int v, typename V::Int numbers) {
      if constexpr (stores == Stores::streaming) {
        V::stream_bits(out + i + v * in_vector, numbers);
      } else {
        V::store_bits(out + i + v * in_vector, numbers);
      }
    });
  }
  if (i < count) {  // perhaps the end of the weight: no byte beyond may be read, nor written
    uint8_t rest[at_once / 2] = {};
    T rest_out[at_once];
    for (int64_t j = 0; 2 * j < count - i; ++j) rest[j] = packed[i / 2 + j];
    block.numbers(rest, [&](int v, typename V::Int numbers) { V::store_bits(rest_out + v * in_vector, numbers); });
    for (int64_t j = 0; j < count - i; ++j) out[i + j] = rest_out[j];
  }
}

// out[i - begin] = element i of the flattened weight, for i in [begin, end). With Stores::streaming, out is aligned to a vector and begin to a block.
template <class V, class T, Stores stores = Stores::cached>
TORCHAO_OPS_NOINLINE void dequantize_stretch(const nf4::Weight& w, int64_t begin, int64_t end, T* out) {
  constexpr int64_t max_blocks = 32;
  float absmax[max_blocks];
  const int block_bits = __builtin_ctzll(static_cast<unsigned long long>(w.group_size));
  while (begin < end) {
    const int64_t first = begin >> block_bits, all = ((end - 1) >> block_bits) + 1 - first;
    const int64_t blocks = all < max_blocks ? all : max_blocks;
    expand_absmax<V>(w, first, blocks, absmax);
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t block_end = (first + b + 1) << block_bits, stop = block_end < end ? block_end : end;
      if (begin % 2 != 0) {
        from_float(nf4::value_of(nf4::code_of(w.packed[begin / 2], begin)) * absmax[b], out++);
        ++begin;
      }
      dequantize_block<V, T, stores>(w.packed + begin / 2, stop - begin, absmax[b], out);
      out += stop - begin;
      begin = stop;
    }
  }
}

// For mm_prefill and mm_transposed: rows and columns that are set in turn (dequantizer.h). What comes next, and is prefetched: the columns that
// follow, of the same rows, or with rows_ahead the same columns of rows that many further on.
template <class V, int64_t rows_ahead = 0>
class Nf4Dequantizer {
 public:
  TORCHAO_OPS_INLINE static int64_t scratch_size(const nf4::Weight&, int64_t) { return 0; }
  TORCHAO_OPS_INLINE Nf4Dequantizer(const nf4::Weight& weight, float*) : w_(weight) {}

  TORCHAO_OPS_INLINE void set_rows(int64_t n_begin, int64_t) { n_begin_ = n_begin; }
  TORCHAO_OPS_INLINE void set_columns(int64_t k, int64_t count) {
    k_ = k;
    count_ = count;
  }

  // out[i] = w[n_begin + row, k + i] for i in [0, count), rounded to T.
  template <class T>
  TORCHAO_OPS_INLINE void dequantize(int64_t row, T* out) const {
    const int64_t begin = (n_begin_ + row) * w_.K + k_;
    const int64_t next = rows_ahead == 0 ? begin + count_ : begin + rows_ahead * w_.K;
    const char* codes = reinterpret_cast<const char*>(w_.packed + next / 2);
    for (int64_t byte = 0; byte < count_ / 2; byte += 64) __builtin_prefetch(codes + byte);
    dequantize_stretch<V>(w_, begin, begin + count_, out);
  }

 private:
  const nf4::Weight& w_;
  int64_t n_begin_ = 0, k_ = 0, count_ = 0;
};

}  // namespace
}  // namespace torchao_ops
