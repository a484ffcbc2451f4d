// AVX2 (with FMA and F16C) as the vector type that kernel templates are generated for: 8 lanes of 32 bits.
//
// Everything in here is local to the file that includes it, so that no copy compiled for this ISA can be linked into another one's code.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "csrc/spec/float8.h"
#include "csrc/spec/float_types.h"

namespace torchao_ops {
namespace {

// Sixteen e4m3fn codes as fp16 numbers, NaN included: moved to fp16's place they are e4m3fn_of_half times too small, which the caller makes up for.
constexpr float e4m3fn_of_half = 256.0f;
TORCHAO_OPS_INLINE __m256i to_half(const Float8E4m3fn* p) {
  const __m256i words = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));  // the sign in bits 7 to 15
  const __m256i numbers = _mm256_and_si256(_mm256_slli_epi16(words, 7), _mm256_set1_epi16(static_cast<int16_t>(0xbf80)));
  // The last code of each sign, and no other one, carries into the highest bit of the exponent, and with it set is fp16's NaN.
  const __m256i carry = _mm256_and_si256(_mm256_add_epi16(numbers, _mm256_set1_epi16(0x80)), _mm256_set1_epi16(0x4000));
  return _mm256_or_si256(numbers, carry);
}
// e5m2 codes are the upper bytes of fp16 numbers.
TORCHAO_OPS_INLINE __m256i to_half(const Float8E5m2* p) {
  return _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 8);
}

struct Avx2 {
  static constexpr int lanes = 8;
  using Float = __m256;
  using Int = __m256i;

  TORCHAO_OPS_INLINE static Float zero() { return _mm256_setzero_ps(); }
  TORCHAO_OPS_INLINE static Float set(float value) { return _mm256_set1_ps(value); }
  TORCHAO_OPS_INLINE static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  TORCHAO_OPS_INLINE static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  TORCHAO_OPS_INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  // a * b + c and c - a * b, rounded once.
  TORCHAO_OPS_INLINE static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  // The same as fma(a, b, sum), in sum's register: left to itself, GCC 12 copies a or b, or sum, in many inner loops,
  // or loads b once for every sum that it is used for.
  TORCHAO_OPS_INLINE static Float accumulate(Float sum, Float a, Float b) {
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
  }
  TORCHAO_OPS_INLINE static Float fnma(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }
  TORCHAO_OPS_INLINE static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  TORCHAO_OPS_INLINE static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  TORCHAO_OPS_INLINE static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  TORCHAO_OPS_INLINE static Float round(Float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }  // half to even
  TORCHAO_OPS_INLINE static Float from_int(Int a) { return _mm256_cvtepi32_ps(a); }

  TORCHAO_OPS_INLINE static Int load_bits(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  TORCHAO_OPS_INLINE static Int bit_and(Int a, uint32_t mask) {
    return _mm256_and_si256(a, _mm256_set1_epi32(static_cast<int>(mask)));
  }
  TORCHAO_OPS_INLINE static Int subtract(Int a, uint32_t b) {
    return _mm256_sub_epi32(a, _mm256_set1_epi32(static_cast<int>(b)));
  }
  TORCHAO_OPS_INLINE static Int shift_right(Int a, int bits) { return _mm256_srli_epi32(a, bits); }

  TORCHAO_OPS_INLINE static Int set_bits(int32_t word) { return _mm256_set1_epi32(word); }
  TORCHAO_OPS_INLINE static Int zero_bits() { return _mm256_setzero_si256(); }
  TORCHAO_OPS_INLINE static Int max_unsigned(Int a, Int b) { return _mm256_max_epu32(a, b); }
  TORCHAO_OPS_INLINE static Int magnitude_bits(Float a) { return bit_and(_mm256_castps_si256(a), 0x7fffffffu); }
  // 2^e of numbers whose binary exponent is e; 0 of subnormal ones, Inf of Inf and NaN.
  TORCHAO_OPS_INLINE static Float power_of(Float a) { return _mm256_castsi256_ps(bit_and(_mm256_castps_si256(a), 0x7f800000u)); }
  // a, which is zero or has the sign already, with the sign.
  TORCHAO_OPS_INLINE static Float with_sign_of(Float sign, Float a) {
    return _mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
  }
  TORCHAO_OPS_INLINE static void store_bits(void* p, Int a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }

  // Past the caches; p is aligned to the vector.
  TORCHAO_OPS_INLINE static void stream_bits(void* p, Int a) { _mm256_stream_si256(static_cast<__m256i*>(p), a); }

  TORCHAO_OPS_INLINE static Float load(const float* p) { return _mm256_loadu_ps(p); }
  TORCHAO_OPS_INLINE static Float load(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  TORCHAO_OPS_INLINE static Float load(const BFloat16* p) {
    const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
  }

  // 8-bit floats, exactly, subnormals and NaN included: as to_half, of eight.
  TORCHAO_OPS_INLINE static Float load(const Float8E4m3fn* p) {
    const __m128i words = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m128i numbers = _mm_and_si128(_mm_slli_epi16(words, 7), _mm_set1_epi16(static_cast<int16_t>(0xbf80)));
    const __m128i carry = _mm_and_si128(_mm_add_epi16(numbers, _mm_set1_epi16(0x80)), _mm_set1_epi16(0x4000));
    return mul(_mm256_cvtph_ps(_mm_or_si128(numbers, carry)), set(e4m3fn_of_half));
  }
  TORCHAO_OPS_INLINE static Float load(const Float8E5m2* p) {
    return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))), 8));
  }

  TORCHAO_OPS_INLINE static void store(float* p, Float a) { _mm256_storeu_ps(p, a); }
  TORCHAO_OPS_INLINE static void store(Half* p, Float a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  TORCHAO_OPS_INLINE static void store(BFloat16* p, Float a) {
    // Round to nearest even by adding 0x7fff and the last bit that stays; a NaN, which that could turn into Inf, is made quiet instead.
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }

  // Eight 32-bit words, whatever they hold.
  TORCHAO_OPS_INLINE static Float load_words(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }

  // Eight consecutive int4 codes, from four bytes, as fp32.
  TORCHAO_OPS_INLINE static Float int4_codes(const uint8_t* p) {
    int32_t word;
    std::memcpy(&word, p, sizeof(word));
    const __m256i shifted = _mm256_srlv_epi32(_mm256_set1_epi32(word), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    return _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(15)));
  }

  // Eight consecutive int8 codes as fp32, and sixteen as 16-bit integers.
  TORCHAO_OPS_INLINE static Float int8_codes(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  TORCHAO_OPS_INLINE static Int widen(const void* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }

  // sum + a as integers, in sum's register: see the other accumulate.
  TORCHAO_OPS_INLINE static Int accumulate(Int sum, Int a) {
    asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(a));
    return sum;
  }

  // Products of unsigned codes of at most 15 with int8 activations, four in each 32-bit lane. vpmaddubsw adds two products, and the sum of
  // four of at most 15 * 127 = 1905 is far from saturating int16.
  TORCHAO_OPS_INLINE static Int dot_u4_s8_pair(Int sum, Int a0, Int b0, Int a1, Int b1) {
    const Int products = _mm256_add_epi16(_mm256_maddubs_epi16(a0, b0), _mm256_maddubs_epi16(a1, b1));
    return accumulate(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
  }

  TORCHAO_OPS_INLINE static Int add_ints(Int a, Int b) { return _mm256_add_epi32(a, b); }
  TORCHAO_OPS_INLINE static Int to_int(Float a) { return _mm256_cvtps_epi32(a); }
  // Products of 16-bit integers, two in each 32-bit lane.
  TORCHAO_OPS_INLINE static Int dot_s16(Int sum, Int a, Int b) { return accumulate(sum, _mm256_madd_epi16(a, b)); }
  TORCHAO_OPS_INLINE static int32_t sum(Int a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
  }

  // ((0+4) + (2+6)) + ((1+5) + (3+7)): a fixed order.
  TORCHAO_OPS_INLINE static float sum(Float a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }

  // Lanes 4u..4u+3 hold p[u].
  TORCHAO_OPS_INLINE static Float repeat4(const float* p) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_broadcast_ss(p)), _mm_broadcast_ss(p + 1), 1);
  }

  // The 8 x 8 matrix rows[i][lane] becomes rows[lane][i].
  TORCHAO_OPS_INLINE static void transpose(Float (&r)[8]) {
    const Float a0 = _mm256_unpacklo_ps(r[0], r[1]), a1 = _mm256_unpackhi_ps(r[0], r[1]);
    const Float a2 = _mm256_unpacklo_ps(r[2], r[3]), a3 = _mm256_unpackhi_ps(r[2], r[3]);
    const Float a4 = _mm256_unpacklo_ps(r[4], r[5]), a5 = _mm256_unpackhi_ps(r[4], r[5]);
    const Float a6 = _mm256_unpacklo_ps(r[6], r[7]), a7 = _mm256_unpackhi_ps(r[6], r[7]);
    const Float b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xee);
    const Float b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xee);
    const Float b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xee);
    const Float b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xee);
    r[0] = _mm256_permute2f128_ps(b0, b4, 0x20);
    r[1] = _mm256_permute2f128_ps(b1, b5, 0x20);
    r[2] = _mm256_permute2f128_ps(b2, b6, 0x20);
    r[3] = _mm256_permute2f128_ps(b3, b7, 0x20);
    r[4] = _mm256_permute2f128_ps(b0, b4, 0x31);
    r[5] = _mm256_permute2f128_ps(b1, b5, 0x31);
    r[6] = _mm256_permute2f128_ps(b2, b6, 0x31);
    r[7] = _mm256_permute2f128_ps(b3, b7, 0x31);
  }
};

// Four products of unsigned codes of at most 15 with int8 in each 32-bit lane, summed in int16: a word adds at most 2 * 15 * 127 = 3810 to
// each, and 8 words 30480 < 32767.
struct Avx2DotU4S8 {
  using Vector = Avx2;
  using Sum = __m256i;
  static constexpr int64_t max_words = 8;
  static constexpr int block_rows = 4;  // 4 * 2 sums, 2 vectors of x, a broadcast word and a product of 16 registers
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, __m256i x, __m256i w) {
    // The addition as an instruction, so that it is done in place: GCC 12 copies each sum once an iteration.
    asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(_mm256_maddubs_epi16(w, x)));
    return sum;
  }
  TORCHAO_OPS_INLINE static __m256 to_float(Sum sum) { return _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, _mm256_set1_epi16(1))); }
};

// The codes of (count + 1) / 2 bytes as bytes, in order; out has room for an even count.
TORCHAO_OPS_INLINE void unpack_codes(const uint8_t* packed, int64_t count, uint8_t* out) {
  const __m128i mask = _mm_set1_epi8(15);
  int64_t k = 0;
  for (; k + 32 <= count; k += 32) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + k / 2));
    const __m128i low = _mm_and_si128(bytes, mask), high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + k), _mm_unpacklo_epi8(low, high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + k + 16), _mm_unpackhi_epi8(low, high));
  }
  for (; k < count; ++k) out[k] = static_cast<uint8_t>(k % 2 == 0 ? packed[k / 2] & 15 : packed[k / 2] >> 4);
}

// A float array of any type as fp32, converted vector by vector; never reads beyond data[count).
template <class V, class T>
TORCHAO_OPS_INLINE void convert(const T* data, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + V::lanes <= count; i += V::lanes) V::store(out + i, V::load(data + i));
  for (; i < count; ++i) out[i] = to_float(data[i]);
}

template <class V>
TORCHAO_OPS_INLINE void convert(const void* data, FloatType type, int64_t begin, int64_t count, float* out) {
  switch (type) {
    case FloatType::f32: convert<V>(static_cast<const float*>(data) + begin, count, out); return;
    case FloatType::f16: convert<V>(static_cast<const Half*>(data) + begin, count, out); return;
    case FloatType::bf16: convert<V>(static_cast<const BFloat16*>(data) + begin, count, out); return;
  }
}

// `count` numbers to y[begin ...].
template <class V, class T>
TORCHAO_OPS_INLINE void store_numbers(const float* numbers, int64_t count, T* y) {
  int64_t i = 0;
  for (; i + V::lanes <= count; i += V::lanes) V::store(y + i, V::load(numbers + i));
  for (; i < count; ++i) from_float(numbers[i], y + i);
}
template <class V>
TORCHAO_OPS_INLINE void store_numbers(const float* numbers, int64_t count, void* y, FloatType type, int64_t begin) {
  switch (type) {
    case FloatType::f32: store_numbers<V>(numbers, count, static_cast<float*>(y) + begin); return;
    case FloatType::f16: store_numbers<V>(numbers, count, static_cast<Half*>(y) + begin); return;
    case FloatType::bf16: store_numbers<V>(numbers, count, static_cast<BFloat16*>(y) + begin); return;
  }
}

// Lanes rounded to numbers of an 8-bit type T, as from_float of float8.h rounds: to nearest even, saturating, NaN kept, and the sign of zero.
template <class V, class T>
TORCHAO_OPS_INLINE typename V::Float round_to_float8(typename V::Float a) {
  constexpr bool e4m3fn = T::largest == Float8E4m3fn::largest;
  constexpr float smallest_normal = e4m3fn ? 0x1p-6f : 0x1p-14f;
  // 1.5 * 2^(e + 23 - mantissa bits): added to a number of exponent e, it puts the grid of the type at fp32's last mantissa bit.
  constexpr float magic = e4m3fn ? 0x1.8p20f : 0x1.8p21f;
  // min and max give their second operand if one is NaN.
  const typename V::Float clamped = V::max(V::set(-T::largest), V::min(V::set(T::largest), a));
  const typename V::Float shift = V::mul(V::max(V::power_of(clamped), V::set(smallest_normal)), V::set(magic));
  return V::with_sign_of(a, V::sub(V::add(clamped, shift), shift));
}

}  // namespace
}  // namespace torchao_ops
