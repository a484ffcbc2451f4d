// nf4 codes as numbers, in AVX2. vpshufb looks up bytes by 4-bit indices, so a table of 16 numbers is held as planes, a register for each byte of
// a number, and what they give is interleaved. Measured on Zen 3, the dot product of 4096 x 4096 codes that are in the cache, one core:
// 1.35 ms, against 2.6 ms with two vpermps and a blend, and 4.6 ms with a table from a byte to its two numbers.
#pragma once

#include "csrc/cpu/decode.h"
#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

struct Nf4Planes {
  alignas(32) uint8_t bytes[4][32];  // byte i of each number of the codebook, twice: once for each half of a register
};
constexpr Nf4Planes make_nf4_planes() {
  Nf4Planes planes = {};
  for (int code = 0; code < 32; ++code) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, nf4::value_of(code % 16));
    for (int i = 0; i < 4; ++i) planes.bytes[i][code] = static_cast<uint8_t>(bits >> 8 * i);
  }
  return planes;
}
constexpr Nf4Planes nf4_planes = make_nf4_planes();

// The codebook's numbers for 32 codes, which are bytes: out[q] has those of bytes 4 * q to 4 * q + 3 of each half.
TORCHAO_OPS_INLINE void nf4_values(__m256i codes, __m256i (&out)[4]) {
  __m256i planes[4];
  for (int i = 0; i < 4; ++i) planes[i] = _mm256_shuffle_epi8(Avx2::load_bits(nf4_planes.bytes[i]), codes);
  const __m256i low0 = _mm256_unpacklo_epi8(planes[0], planes[1]), high0 = _mm256_unpacklo_epi8(planes[2], planes[3]);
  const __m256i low1 = _mm256_unpackhi_epi8(planes[0], planes[1]), high1 = _mm256_unpackhi_epi8(planes[2], planes[3]);
  out[0] = _mm256_unpacklo_epi16(low0, high0);
  out[1] = _mm256_unpackhi_epi16(low0, high0);
  out[2] = _mm256_unpacklo_epi16(low1, high1);
  out[3] = _mm256_unpackhi_epi16(low1, high1);
}

// The 32 codes of the 16 bytes at p, as bytes. `order` says which of the bytes come where, each twice; of the first its high nibble is the code,
// of the second its low one.
TORCHAO_OPS_INLINE __m256i nf4_codes(const uint8_t* p, __m256i order) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i twice = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order);
  return _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(twice, 4), _mm256_set1_epi16(0x000f)),
                         _mm256_and_si256(twice, _mm256_set1_epi16(0x0f00)));
}

template <>
class Nf4Block<Avx2, float> {
 public:
  TORCHAO_OPS_INLINE explicit Nf4Block(float absmax) : absmax_(Avx2::set(absmax)) {}

  template <class Store>
  TORCHAO_OPS_INLINE void numbers(const uint8_t* p, const Store& store) const {
    // Interleaving in each half brings four consecutive codes together: every other four are in the same half.
    const __m256i order = _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11,
                                           11, 14, 14, 15, 15);
    __m256i values[4];
    nf4_values(nf4_codes(p, order), values);
    for (int i = 0; i < 4; ++i) {
      store(i, _mm256_castps_si256(Avx2::mul(_mm256_castsi256_ps(values[i]), absmax_)));
    }
  }

 private:
  const __m256 absmax_;
};

// Numbers of two bytes: the block's 16 possible ones are rounded once, and are two planes.
class Nf4WordPlanes {
 public:
  template <class Store>
  TORCHAO_OPS_INLINE void numbers(const uint8_t* p, const Store& store) const {
    const __m256i order = _mm256_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 8, 8, 9, 9, 10, 10, 11, 11, 4, 4, 5, 5, 6, 6, 7, 7, 12, 12, 13,
                                           13, 14, 14, 15, 15);
    const __m256i codes = nf4_codes(p, order);
    const __m256i low = _mm256_shuffle_epi8(low_, codes), high = _mm256_shuffle_epi8(high_, codes);
    store(0, _mm256_unpacklo_epi8(low, high));
    store(1, _mm256_unpackhi_epi8(low, high));
  }

 protected:
  // The numbers of codes 8 * half to 8 * half + 7.
  TORCHAO_OPS_INLINE static __m256 half_of(int half, float absmax) {
    float values[8];
    for (int i = 0; i < 8; ++i) values[i] = nf4::value_of(8 * half + i);
    return Avx2::mul(Avx2::load(values), Avx2::set(absmax));
  }

  __m256i low_, high_;  // each in both halves
};

template <>
class Nf4Block<Avx2, Half> : public Nf4WordPlanes {
 public:
  TORCHAO_OPS_INLINE explicit Nf4Block(float absmax) {
    const __m128i first = _mm256_cvtps_ph(half_of(0, absmax), _MM_FROUND_TO_NEAREST_INT);
    const __m128i second = _mm256_cvtps_ph(half_of(1, absmax), _MM_FROUND_TO_NEAREST_INT);
    const __m256i split = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14, 1, 3,
                                           5, 7, 9, 11, 13, 15);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1), split);
    low_ = _mm256_permute4x64_epi64(bytes, 0x88);
    high_ = _mm256_permute4x64_epi64(bytes, 0xdd);
  }
};

template <>
class Nf4Block<Avx2, BFloat16> : public Nf4WordPlanes {
 public:
  TORCHAO_OPS_INLINE explicit Nf4Block(float absmax) {
    // Rounded as Avx2::store does. With a NaN of few bits none can become anything else.
    const float plain = absmax == absmax ? absmax : float_from_bits(0x7fc00000u);
    const __m256i first = rounded(half_of(0, plain)), second = rounded(half_of(1, plain));
    const __m256i split = _mm256_setr_epi8(2, 6, 10, 14, 3, 7, 11, 15, -1, -1, -1, -1, -1, -1, -1, -1, 2, 6, 10, 14, 3, 7, 11, 15,
                                           -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i bytes = _mm256_unpacklo_epi64(_mm256_shuffle_epi8(first, split), _mm256_shuffle_epi8(second, split));
    low_ = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 2, 6, 0, 4, 2, 6));
    high_ = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(1, 5, 3, 7, 1, 5, 3, 7));
  }

 private:
  // In the upper halves of the words.
  TORCHAO_OPS_INLINE static __m256i rounded(__m256 numbers) {
    const __m256i bits = _mm256_castps_si256(numbers);
    const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
  }
};

// For Decode. A chunk is a vector of packed codes; its high nibbles are the even elements, four vectors of numbers, its low ones the odd elements.
// Part 4 * h + q has those of bytes 4 * q to 4 * q + 3 of each half of the chunk.
struct Nf4CodesAvx2 {
  using Args = Nf4MmArgs;
  using Vector = Avx2;
  using Activation = float;
  struct Chunk {
    __m256i even[4], odd[4];
  };
  using Numbers = __m256;
  using Sum = __m256;
  static constexpr bool quantizes = false, uses_lane_sums = false, exact_rows = false;
  static constexpr int64_t chunk_k = 64, max_step = 4;  // 256 k: errors stay below those of a dense fp32 product
  static constexpr int parts = 8;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out, int64_t stride, float*) {
    for (int part = 0; part < parts; ++part) {
      const float* from = chunk + 8 * (part % 4) + part / 4;
      float* to = out + part * stride;
      for (int i = 0; i < 4; ++i) {
        to[i] = from[2 * i];
        to[4 + i] = from[32 + 2 * i];
      }
    }
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) {
    const __m256i packed = Avx2::load_bits(p), mask = _mm256_set1_epi8(15);
    Chunk chunk;
    nf4_values(_mm256_and_si256(_mm256_srli_epi16(packed, 4), mask), chunk.even);
    nf4_values(_mm256_and_si256(packed, mask), chunk.odd);
    return chunk;
  }
  TORCHAO_OPS_INLINE static Numbers numbers(const Chunk& chunk, int part) {
    return _mm256_castsi256_ps(part < 4 ? chunk.even[part] : chunk.odd[part - 4]);
  }
  TORCHAO_OPS_INLINE static __m256 load_activations(const float* p) { return Avx2::load(p); }
  TORCHAO_OPS_INLINE static Sum start(__m256) { return Avx2::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m256 x) { return Avx2::accumulate(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m256 finish(Sum sum, __m256, __m256) { return sum; }
  TORCHAO_OPS_INLINE static __m256 repeat(const float* p) { return Avx2::repeat4(p); }
};
template <>
constexpr bool row_by_row<Nf4CodesAvx2> = true;

}  // namespace
}  // namespace torchao_ops
