// nf4 codes as numbers, in AVX-512: vpermps looks up 16 numbers, vpermw those of two bytes; both take the lowest bits of an index.
#pragma once

#include "csrc/cpu/decode.h"
#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_mm.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {
namespace {

TORCHAO_OPS_INLINE __m512 nf4_codebook() {
  alignas(64) float values[16];
  for (int code = 0; code < 16; ++code) values[code] = nf4::value_of(code);
  return Avx512::load(values);
}

template <>
class Nf4Block<Avx512, float> {
 public:
  TORCHAO_OPS_INLINE explicit Nf4Block(float absmax) : numbers_(Avx512::mul(nf4_codebook(), Avx512::set(absmax))) {}

  template <class Store>
  TORCHAO_OPS_INLINE void numbers(const uint8_t* p, const Store& store) const {
    const __m512i shifts = _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
    const __m512i words = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    for (int i = 0; i < 2; ++i) {
      const int w = 2 * i;
      const __m512i of_lane = _mm512_setr_epi32(w, w, w, w, w, w, w, w, w + 1, w + 1, w + 1, w + 1, w + 1, w + 1, w + 1, w + 1);
      const __m512i codes = _mm512_srlv_epi32(_mm512_permutexvar_epi32(of_lane, words), shifts);
      store(i, _mm512_castps_si512(_mm512_permutexvar_ps(codes, numbers_)));
    }
  }

 private:
  const __m512 numbers_;
};

template <class T>
class Nf4Block<Avx512, T> {
 public:
  TORCHAO_OPS_INLINE explicit Nf4Block(float absmax) {
    T numbers[32];  // twice, since an index has five bits: nothing needs masking
    for (int half = 0; half < 2; ++half) {
      Avx512::store(numbers + 16 * half, Avx512::mul(nf4_codebook(), Avx512::set(absmax)));
    }
    numbers_ = Avx512::load_bits(numbers);
  }

  template <class Store>
  TORCHAO_OPS_INLINE void numbers(const uint8_t* p, const Store& store) const {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), high = _mm_srli_epi16(low, 4);
    const __m256i codes =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(high, low)), _mm_unpackhi_epi8(high, low), 1);
    store(0, _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(codes), numbers_));
  }

 private:
  __m512i numbers_;
};

// For Decode. A 32-bit lane holds 8 codes. The table ignores all but the lowest nibble of a lane, so part j is one shift and one look-up; nibble j is
// element j ^ 1.
struct Nf4CodesAvx512 {
  using Args = Nf4MmArgs;
  using Vector = Avx512;
  using Activation = float;
  using Chunk = __m512i;
  using Numbers = __m512;
  using Sum = __m512;
  static constexpr bool quantizes = false, uses_lane_sums = false, exact_rows = false;
  static constexpr int64_t chunk_k = 8 * Avx512::lanes, max_step = 2;  // 256 k: errors stay below those of a dense fp32 product
  static constexpr int parts = 8;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out, int64_t stride, float*) {
    for (int lane = 0; lane < Avx512::lanes; lane += 8) {  // 8 lanes of 8 codes are a square to transpose
      Avx2::Float r[8];
      for (int i = 0; i < 8; ++i) r[i] = Avx2::load(chunk + 8 * (lane + i));
      Avx2::transpose(r);
      for (int j = 0; j < 8; ++j) Avx2::store(out + j * stride + lane, r[j ^ 1]);
    }
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Numbers numbers(Chunk codes, int part) {
    return _mm512_permutexvar_ps(Avx512::shift_right(codes, 4 * part), nf4_codebook());
  }
  TORCHAO_OPS_INLINE static __m512 load_activations(const float* p) { return Avx512::load(p); }
  TORCHAO_OPS_INLINE static Sum start(__m512) { return Avx512::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m512 x) { return Avx512::accumulate(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m512 finish(Sum sum, __m512, __m512) { return sum; }
  TORCHAO_OPS_INLINE static __m512 repeat(const float* p) { return Avx512::repeat4(p); }
};

}  // namespace
}  // namespace torchao_ops
