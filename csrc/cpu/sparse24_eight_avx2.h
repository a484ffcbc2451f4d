// Eight elements of a row in AVX2 (sparse24_eight.h).
#pragma once

#include <immintrin.h>

#include "csrc/cpu/sparse24_eight.h"

namespace torchao_ops {
namespace {

// For each byte of bitmask that keeps two of each quad: where the four are, of eight.
struct KeptPositions {
  uint8_t positions[256][4];
};
constexpr KeptPositions make_kept_positions() {
  KeptPositions kept = {};
  for (int byte = 0; byte < 256; ++byte) {
    int count = 0;
    for (int i = 0; i < 8; ++i) {
      if ((byte >> i & 1) != 0 && count < 4) kept.positions[byte][count++] = static_cast<uint8_t>(i);
    }
  }
  return kept;
}
constexpr KeptPositions kept_positions = make_kept_positions();

struct Avx2Eight {
  template <class T>
  TORCHAO_OPS_INLINE static Choice choose(const T* weight) {
    const __m256i m = magnitudes(weight);
    // How many of a quad are kept rather than an element, negative. Of equal ones, the lower index is: there, 1 less is to be exceeded.
    const __m256i one_off = before<0x39>(m, 0, 0, 0, 1), two_off = before<0x4e>(m, 0, 0, 1, 1);
    const __m256i count = _mm256_add_epi32(_mm256_add_epi32(one_off, two_off), before<0x93>(m, 0, 1, 1, 1));
    const __m256i is_kept = _mm256_cmpgt_epi32(count, _mm256_set1_epi32(-2));
    const __m256i is_zero = _mm256_cmpeq_epi32(m, _mm256_setzero_si256());
    return {bits_of(is_kept), bits_of(is_zero) ^ 0xffu};
  }

  TORCHAO_OPS_INLINE static void store_mask(uint32_t bits, uint8_t* mask) {
    const __m128i ones = _mm_and_si128(bytes_of(bits), _mm_set1_epi8(1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(mask), ones);
  }
  TORCHAO_OPS_INLINE static uint32_t load_mask(const uint8_t* mask) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask));
    return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()))) & 0xffu;
  }

  template <class T>
  TORCHAO_OPS_INLINE static void pack(const T* weight, uint32_t kept, uint32_t marked, T* values) {
    int32_t four;
    std::memcpy(&four, kept_positions.positions[kept], sizeof(four));
    const __m128i positions = _mm_cvtsi32_si128(four);
    if constexpr (sizeof(T) == 4) {
      const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight));
      const __m256i numbers = _mm256_and_si256(all, _mm256_cvtepi8_epi32(bytes_of(marked)));
      const __m256i indices = _mm256_cvtepu8_epi32(positions);
      const __m128i packed = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(numbers, indices));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values), packed);
    } else if constexpr (sizeof(T) == 2) {
      const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weight));
      const __m128i numbers = _mm_and_si128(all, _mm_cvtepi8_epi16(bytes_of(marked)));
      const __m128i low = _mm_slli_epi16(_mm_unpacklo_epi8(positions, positions), 1);  // bytes 2 * position, twice
      const __m128i packed = _mm_shuffle_epi8(numbers, _mm_or_si128(low, _mm_set1_epi16(0x100)));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(values), packed);
    } else {
      const __m128i all = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weight));
      const int32_t packed = _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm_and_si128(all, bytes_of(marked)), positions));
      std::memcpy(values, &packed, sizeof(packed));
    }
  }

 private:
  TORCHAO_OPS_INLINE static uint32_t bits_of(__m256i lanes) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
  }
  // All ones in byte i where bit i is set.
  TORCHAO_OPS_INLINE static __m128i bytes_of(uint32_t bits) {
    const __m128i bit_of_byte = _mm_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
    return _mm_cmpeq_epi8(_mm_and_si128(_mm_set1_epi8(static_cast<char>(bits)), bit_of_byte), bit_of_byte);
  }

  // -1 where the element of its quad that the shuffle brings is kept rather than it; a..d: 1 where that one has the lower index.
  template <int shuffle>
  TORCHAO_OPS_INLINE static __m256i before(__m256i m, int a, int b, int c, int d) {
    const __m256i exceeded = _mm256_sub_epi32(m, _mm256_setr_epi32(a, b, c, d, a, b, c, d));
    return _mm256_cmpgt_epi32(_mm256_shuffle_epi32(m, shuffle), exceeded);
  }

  template <class T>
  TORCHAO_OPS_INLINE static __m256i magnitudes(const T* weight) {
    __m256i bits;
    if constexpr (sizeof(T) == 4) {
      bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight));
    } else if constexpr (sizeof(T) == 2) {
      bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weight)));
    } else {
      bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(weight)));
    }
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(Magnitudes<T>::magnitude_bits)));
    return _mm256_min_epu32(magnitude, _mm256_set1_epi32(static_cast<int>(Magnitudes<T>::smallest_nan)));
  }
  TORCHAO_OPS_INLINE static __m256i magnitudes(const int8_t* weight) {
    return _mm256_abs_epi32(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(weight))));
  }
};

}  // namespace
}  // namespace torchao_ops
