// Lanes for PermutingX (sparse24_decode.h) on AVX2.
#pragma once

#include "csrc/cpu/sparse24_values.h"

namespace torchao_ops {
namespace {

template <class T>
struct Sparse24ValuesAvx2 {
  using Vector = Avx2;
  using Stored = T;
  // bf16 becomes fp32 in one instruction where zeros are put below each number, but that takes the first and the second half of each 128 bits apart.
  static constexpr bool interleaved = std::is_same<T, BFloat16>::value;

  static constexpr int64_t quad_of(int vector, int lane, int second) {
    return interleaved ? 4 * lane + 2 * vector + second : 4 * vector + 2 * lane + second;
  }
  TORCHAO_OPS_INLINE static __m256 numbers(const T* p, int vector) {
    if constexpr (interleaved) {
      const __m256i bits = Avx2::load_bits(p), zero = _mm256_setzero_si256();
      return _mm256_castsi256_ps(vector == 0 ? _mm256_unpacklo_epi16(zero, bits) : _mm256_unpackhi_epi16(zero, bits));
    } else {
      return load_values_avx2(p + 8 * vector);
    }
  }
  TORCHAO_OPS_INLINE static __m256i choices(const uint8_t* p, int vector) {
    int32_t word;
    std::memcpy(&word, p, sizeof(word));
    const __m256i shifts = interleaved   ? vector == 0 ? _mm256_setr_epi32(0, 2, 4, 6, 16, 18, 20, 22)
                                                       : _mm256_setr_epi32(8, 10, 12, 14, 24, 26, 28, 30)
                             : vector == 0 ? _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)
                                         : _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
    return _mm256_srlv_epi32(_mm256_set1_epi32(word), shifts);
  }
  TORCHAO_OPS_INLINE static __m256 choose(__m256 x0, __m256 x1, __m256i choices) {
    return _mm256_blend_ps(_mm256_permutevar_ps(x0, choices), _mm256_permutevar_ps(x1, choices), 0xcc);
  }
};

}  // namespace
}  // namespace torchao_ops
