// AVX-512 (F, BW, DQ, VL, VBMI, VNNI) as the vector type that kernel templates are generated for: 16 lanes of 32 bits. See simd_avx2.h, of which
// it is the wider twin.
#pragma once

#ifdef TORCHAO_OPS_EMULATE_AVX512
#include "tests/cpp/avx512_host/avx512_host.h"  // the same intrinsics in plain C++, for tests on a CPU without them
#else
#include <immintrin.h>
#endif

#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

// The two dot products. As instructions, not intrinsics: around those, GCC 12 copies each accumulator twice and stores it to the stack, in every
// iteration of a loop that keeps 24 of them.

// vpdpbusd: sum + the four products of unsigned bytes of u with signed bytes of s in each 32-bit lane. Exact, no saturation.
TORCHAO_OPS_INLINE __m512i dot_u8_s8(__m512i sum, __m512i u, __m512i s) {
#ifdef TORCHAO_OPS_EMULATE_AVX512
  return _mm512_dpbusd_epi32(sum, u, s);
#else
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
  return sum;
#endif
}

struct Avx512 {
  static constexpr int lanes = 16;
  using Float = __m512;
  using Int = __m512i;

  TORCHAO_OPS_INLINE static Float zero() { return _mm512_setzero_ps(); }
  TORCHAO_OPS_INLINE static Float set(float value) { return _mm512_set1_ps(value); }
  TORCHAO_OPS_INLINE static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  TORCHAO_OPS_INLINE static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  TORCHAO_OPS_INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  TORCHAO_OPS_INLINE static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  TORCHAO_OPS_INLINE static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  TORCHAO_OPS_INLINE static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  TORCHAO_OPS_INLINE static Float round(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  TORCHAO_OPS_INLINE static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  TORCHAO_OPS_INLINE static Float accumulate(Float sum, Float a, Float b) {
#ifdef TORCHAO_OPS_EMULATE_AVX512
    return fma(a, b, sum);
#else
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b));
    return sum;
#endif
  }
  TORCHAO_OPS_INLINE static Float fnma(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }
  TORCHAO_OPS_INLINE static Float from_int(Int a) { return _mm512_cvtepi32_ps(a); }

  TORCHAO_OPS_INLINE static Int load_bits(const void* p) { return _mm512_loadu_si512(p); }
  TORCHAO_OPS_INLINE static void store_bits(void* p, Int a) { _mm512_storeu_si512(p, a); }
  TORCHAO_OPS_INLINE static void stream_bits(void* p, Int a) { _mm512_stream_si512(static_cast<__m512i*>(p), a); }
  TORCHAO_OPS_INLINE static Int set_bits(int32_t word) { return _mm512_set1_epi32(word); }
  TORCHAO_OPS_INLINE static Int zero_bits() { return _mm512_setzero_si512(); }
  TORCHAO_OPS_INLINE static Int bit_and(Int a, uint32_t mask) {
    return _mm512_and_si512(a, _mm512_set1_epi32(static_cast<int>(mask)));
  }
  TORCHAO_OPS_INLINE static Int subtract(Int a, uint32_t b) {
    return _mm512_sub_epi32(a, _mm512_set1_epi32(static_cast<int>(b)));
  }
  TORCHAO_OPS_INLINE static Int shift_right(Int a, int bits) { return _mm512_srli_epi32(a, static_cast<unsigned>(bits)); }
  TORCHAO_OPS_INLINE static Int max_unsigned(Int a, Int b) { return _mm512_max_epu32(a, b); }
  TORCHAO_OPS_INLINE static Int magnitude_bits(Float a) { return bit_and(_mm512_castps_si512(a), 0x7fffffffu); }
  TORCHAO_OPS_INLINE static Float power_of(Float a) { return _mm512_castsi512_ps(bit_and(_mm512_castps_si512(a), 0x7f800000u)); }
  TORCHAO_OPS_INLINE static Float with_sign_of(Float sign, Float a) {
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), bit_and(_mm512_castps_si512(sign), 0x80000000u)));
  }

  TORCHAO_OPS_INLINE static Float load(const float* p) { return _mm512_loadu_ps(p); }
  TORCHAO_OPS_INLINE static void store(float* p, Float a) { _mm512_storeu_ps(p, a); }
  TORCHAO_OPS_INLINE static Float load(const Float8E4m3fn* p) { return mul(_mm512_cvtph_ps(to_half(p)), set(e4m3fn_of_half)); }
  TORCHAO_OPS_INLINE static Float load(const Float8E5m2* p) { return _mm512_cvtph_ps(to_half(p)); }
  // Two-byte types go through the halves: nothing that is done often.
  template <class T>
  TORCHAO_OPS_INLINE static Float load(const T* p) {
    return join(Avx2::load(p), Avx2::load(p + 8));
  }
  template <class T>
  TORCHAO_OPS_INLINE static void store(T* p, Float a) {
    Avx2::store(p, _mm512_castps512_ps256(a));
    Avx2::store(p + 8, high_half(a));
  }

  TORCHAO_OPS_INLINE static Float join(__m256 low, __m256 high) {
    return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_castps_pd(low)), _mm256_castps_pd(high), 1));
  }
  TORCHAO_OPS_INLINE static __m256 high_half(Float a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)); }

  // Sixteen consecutive int4 codes, from eight bytes, as fp32.
  TORCHAO_OPS_INLINE static Float int4_codes(const uint8_t* p) { return join(Avx2::int4_codes(p), Avx2::int4_codes(p + 4)); }

  // Sixteen consecutive int8 codes as fp32.
  TORCHAO_OPS_INLINE static Float int8_codes(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  // Lanes 4u..4u+3 hold p[u].
  TORCHAO_OPS_INLINE static Float repeat4(const float* p) {
    const Int index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(index, _mm512_broadcast_f32x4(_mm_loadu_ps(p)));
  }

  // Lanes 8u..8u+7 hold p[u].
  TORCHAO_OPS_INLINE static Float repeat8(const float* p) { return join(_mm256_set1_ps(p[0]), _mm256_set1_ps(p[1])); }

  TORCHAO_OPS_INLINE static Int add_ints(Int a, Int b) { return _mm512_add_epi32(a, b); }
  TORCHAO_OPS_INLINE static Int to_int(Float a) { return _mm512_cvtps_epi32(a); }
  TORCHAO_OPS_INLINE static Int bit_xor(Int a, uint32_t mask) {
    return _mm512_xor_si512(a, _mm512_set1_epi32(static_cast<int>(mask)));
  }
  TORCHAO_OPS_INLINE static int32_t sum(Int a) {
    return Avx2::sum(_mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
  }

  // Halves first, then as Avx2: a fixed order.
  TORCHAO_OPS_INLINE static float sum(Float a) { return Avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(a), high_half(a))); }

  // Products of 16-bit integers, two in each 32-bit lane. As an instruction: see dot_u8_s8.
  TORCHAO_OPS_INLINE static Int dot_s16(Int sum, Int a, Int b) {
#ifdef TORCHAO_OPS_EMULATE_AVX512
    return _mm512_dpwssd_epi32(sum, a, b);
#else
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b));
    return sum;
#endif
  }

  // Products of unsigned bytes with int8, four in each 32-bit lane.
  TORCHAO_OPS_INLINE static Int dot_u4_s8_pair(Int sum, Int a0, Int b0, Int a1, Int b1) {
    return dot_u8_s8(dot_u8_s8(sum, a0, b0), a1, b1);
  }
};

struct Avx512DotU8S8 {
  using Vector = Avx512;
  using Sum = __m512i;
  static constexpr int64_t max_words = int64_t{1} << 14;  // 4 * 255 * 127 * 2^14 < 2^31
  static constexpr int block_rows = 12;                   // 12 * 2 sums, 2 vectors of x and a broadcast word of 32 registers
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, __m512i x, __m512i w) { return dot_u8_s8(sum, w, x); }
  TORCHAO_OPS_INLINE static __m512 to_float(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

}  // namespace
}  // namespace torchao_ops
