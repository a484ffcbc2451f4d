// Lanes for PermutingX (sparse24_decode.h) on AVX-512: see sparse24_values_avx2.h.
//
// Expanding the values over vectors of zeros (vpexpandd) would take an expansion for every 16 elements of a row, where permuting x takes a quarter of the
// shifts and, for one row of x, half of the instructions; and of the products half would be with zeros.
#pragma once

#include "csrc/cpu/simd_avx512.h"
#include "csrc/cpu/sparse24_values.h"

namespace torchao_ops {
namespace {

// Sixteen consecutive values.
TORCHAO_OPS_INLINE __m512 load_values_avx512(const float* p) { return Avx512::load(p); }
TORCHAO_OPS_INLINE __m512 load_values_avx512(const BFloat16* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Avx2::load_bits(p)), 16));
}
TORCHAO_OPS_INLINE __m512 load_values_avx512(const int8_t* p) { return Avx512::int8_codes(reinterpret_cast<const uint8_t*>(p)); }
template <class T>
TORCHAO_OPS_INLINE __m512 load_values_avx512(const T* p) {
  return Avx512::join(load_values_avx2(p), load_values_avx2(p + 8));
}

template <class T>
struct Sparse24ValuesAvx512 {
  using Vector = Avx512;
  using Stored = T;

  static constexpr int64_t quad_of(int vector, int lane, int second) { return 8 * vector + 2 * lane + second; }
  TORCHAO_OPS_INLINE static __m512 numbers(const T* p, int vector) { return load_values_avx512(p + 16 * vector); }
  TORCHAO_OPS_INLINE static __m512i choices(const uint8_t* p, int vector) {
    int32_t word;
    std::memcpy(&word, p + 4 * vector, sizeof(word));
    return _mm512_srlv_epi32(Avx512::set_bits(word),
                             _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  }
  TORCHAO_OPS_INLINE static __m512 choose(__m512 x0, __m512 x1, __m512i choices) {
    return _mm512_mask_blend_ps(0xcccc, _mm512_permutevar_ps(x0, choices), _mm512_permutevar_ps(x1, choices));
  }
};

}  // namespace
}  // namespace torchao_ops
