// The arithmetic of Sparse24Prefill.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/cpu/sparse24_values.h"

namespace torchao_ops {
namespace {

// fp32 multiply-adds of exact numbers, each with one number of x.
template <class V>
struct Sparse24Fp32Tile {
  using Vector = V;
  using Sum = typename V::Float;
  static constexpr int64_t steps_per_quad = 2, words_per_quad = 4, block_quads = 16;
  static constexpr int max_vectors = 96 / V::lanes;         // 64 k of 96 rows are 24 KiB
  static constexpr int max_sums = V::lanes == 8 ? 14 : 28;  // of 16 or 32 registers

  TORCHAO_OPS_INLINE static void place(const Avx2::Float (&r)[8], int64_t panel, float* out) {
    for (int k = 0; k < 8; ++k) Avx2::store(out + k * panel, r[k]);
  }
  template <class T>
  TORCHAO_OPS_INLINE static bool list(const uint8_t* choices, const T* values, float scale, int64_t panel, int32_t* words,
                                      uint32_t* places) {
    const __m256 scales = Avx2::set(scale);
    const __m256i row_bytes = _mm256_set1_epi32(static_cast<int>(4 * panel)),
                  shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    __m256i quads = _mm256_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12);
    for (int64_t i = 0; i < 2 * block_quads; i += 8) {  // four quads, two bytes of choices
      uint16_t word;
      std::memcpy(&word, choices + i / 4, sizeof(word));
      const __m256i indices = Avx2::bit_and(_mm256_srlv_epi32(_mm256_set1_epi32(word), shifts), 3);
      Avx2::store_bits(places + i, _mm256_mullo_epi32(_mm256_add_epi32(quads, indices), row_bytes));
      Avx2::store(reinterpret_cast<float*>(words + i), Avx2::mul(load_values_avx2(values + i), scales));
      quads = _mm256_add_epi32(quads, _mm256_set1_epi32(16));
    }
    return true;
  }
  TORCHAO_OPS_INLINE static Sum zero() { return V::zero(); }
  TORCHAO_OPS_INLINE static Sum load(const float* p) { return V::load(p); }
  TORCHAO_OPS_INLINE static void store(float* p, Sum sum) { V::store(p, sum); }
  TORCHAO_OPS_INLINE static Sum add(Sum a, Sum b) { return V::add(a, b); }
  TORCHAO_OPS_INLINE static typename V::Float number(Sum sum) { return sum; }
  TORCHAO_OPS_INLINE static typename V::Float broadcast(int32_t word) {
    return V::set(float_from_bits(static_cast<uint32_t>(word)));
  }
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, const float* x, typename V::Float word) { return V::fma(V::load(x), word, sum); }
};

// What tiles of 16-bit numbers share, which multiply both numbers of a quad at once. Which two of x they belong to is one of six pairs, and the panel has
// a word for each.
struct PairsOfQuads {
  static constexpr int64_t steps_per_quad = 1, words_per_quad = 6, block_quads = 16;
  static constexpr int64_t max_rows = 64;  // 64 k of 64 rows are 24 KiB

  // From eight numbers of eight rows, in the low halves of 32-bit lanes.
  TORCHAO_OPS_INLINE static void place(const __m256i (&r)[8], int64_t panel, float* out) {
    for (int quad = 0; quad < 8; quad += 4) {
      for (int i = 0; i < 4; ++i) {
        for (int j = i + 1; j < 4; ++j, out += panel) {
          Avx2::store_bits(out, _mm256_or_si256(Avx2::bit_and(r[quad + i], 0xffffu), _mm256_slli_epi32(r[quad + j], 16)));
        }
      }
    }
  }
  TORCHAO_OPS_INLINE static void list_places(const uint8_t* choices, int64_t panel, uint32_t* places) {
    // Of each choice: which pair it is, as place has them.
    const __m256i pair_of_choice =
        _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 2, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 2, 4, 5, 0);
    const __m256i row_bytes = _mm256_set1_epi32(static_cast<int>(4 * panel)),
                  shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    __m256i quads = _mm256_setr_epi32(0, 6, 12, 18, 24, 30, 36, 42);
    for (int64_t i = 0; i < block_quads; i += 8) {
      int32_t word;
      std::memcpy(&word, choices + i / 2, sizeof(word));
      const __m256i choice = Avx2::bit_and(_mm256_srlv_epi32(Avx2::set_bits(word), shifts), 15);
      const __m256i pairs =
          _mm256_shuffle_epi8(pair_of_choice, choice);  // the upper three bytes of each lane are choice 0, which is pair 0
      Avx2::store_bits(places + i, _mm256_mullo_epi32(_mm256_add_epi32(quads, pairs), row_bytes));
      quads = _mm256_add_epi32(quads, _mm256_set1_epi32(48));
    }
  }
};

// Exact products of int8 with int8 as 16-bit integers.
template <class V>
struct Sparse24Int16Tile : PairsOfQuads {
  using Vector = V;
  using Sum = typename V::Int;
  static constexpr int max_vectors = max_rows / V::lanes;
  static constexpr int max_sums = V::lanes == 8 ? 12 : 28;  // of 16 or 32 registers

  TORCHAO_OPS_INLINE static void place(const Avx2::Float (&r)[8], int64_t panel, float* out) {
    __m256i q[8];
    for (int k = 0; k < 8; ++k) q[k] = Avx2::to_int(r[k]);
    PairsOfQuads::place(q, panel, out);
  }
  TORCHAO_OPS_INLINE static bool list(const uint8_t* choices, const int8_t* values, float, int64_t panel, int32_t* words,
                                      uint32_t* places) {
    list_places(choices, panel, places);
    for (int64_t i = 0; i < block_quads; i += 8) Avx2::store_bits(words + i, Avx2::widen(values + 2 * i));
    return true;
  }
  TORCHAO_OPS_INLINE static Sum zero() { return V::zero_bits(); }
  TORCHAO_OPS_INLINE static Sum load(const float* p) { return V::load_bits(p); }
  TORCHAO_OPS_INLINE static void store(float* p, Sum sum) { V::store_bits(p, sum); }
  TORCHAO_OPS_INLINE static Sum add(Sum a, Sum b) { return V::add_ints(a, b); }
  TORCHAO_OPS_INLINE static typename V::Float number(Sum sum) { return V::from_int(sum); }
  TORCHAO_OPS_INLINE static Sum broadcast(int32_t word) { return V::set_bits(word); }
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, const float* x, Sum word) { return V::dot_s16(sum, word, V::load_bits(x)); }
};

}  // namespace
}  // namespace torchao_ops
