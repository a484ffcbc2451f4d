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
  TORCHAO_OPS_INLINE static void list(const uint8_t* choices, const T* values, float scale, int64_t panel, int32_t* words,
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

}  // namespace
}  // namespace torchao_ops
