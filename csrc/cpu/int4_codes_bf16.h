// int4 codes as bf16 numbers, by table lookup: vpermw picks one of 32 words by the low 5 bits of each index word. A table of 16 values, held
// twice, is indexed by a word's lowest nibble whatever follows it, so nothing needs masking.
#pragma once

#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {
namespace {

// For Decode. A 32-bit lane holds 8 codes, 4 in each of two words; part j takes nibble j of both, elements j and 4 + j of the lane.
// Numbers are code - 8: exact in bf16.
struct Int4CodesBf16 {
  using Args = Int4MmArgs;
  using Vector = Avx512;
  using Activation = BFloat16;
  using Chunk = __m512i;
  using Numbers = __m512i;
  using Sum = __m512;
  static constexpr bool quantizes = false, uses_lane_sums = true, exact_rows = false;
  static constexpr int64_t chunk_k = 8 * Avx512::lanes, max_step = whole_groups;
  static constexpr int parts = 4;
  static constexpr int offset = 8;

  TORCHAO_OPS_INLINE static void place(const float* chunk, BFloat16* out, int64_t stride, float* lane_sums) {
    for (int lane = 0; lane < Avx512::lanes; ++lane) {
      const float* e = chunk + 8 * lane;
      lane_sums[lane] += ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7]));
      for (int j = 0; j < 4; ++j) {  // exact: the activations came as bf16
        out[j * stride + 2 * lane].bits = static_cast<uint16_t>(float_bits(e[j]) >> 16);
        out[j * stride + 2 * lane + 1].bits = static_cast<uint16_t>(float_bits(e[4 + j]) >> 16);
      }
    }
  }
  TORCHAO_OPS_INLINE static __m512i load(const uint8_t* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Numbers numbers(__m512i codes, int part) {
    alignas(64) static constexpr uint16_t table[32] = {
        0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000,
        0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040,
        0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,
    };
    return _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, static_cast<unsigned>(4 * part)), Avx512::load_bits(table));
  }
  TORCHAO_OPS_INLINE static __m512i load_activations(const BFloat16* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Sum start(__m512) { return Avx512::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m512i x) { return dot_bf16(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m512 finish(Sum sum, __m512 X, __m512 zero_point) { return Avx512::fnma(zero_point, X, sum); }
  TORCHAO_OPS_INLINE static __m512 repeat(const float* p) { return Avx512::repeat4(p); }
};

// Dequantizer for bf16, each group's 16 possible weights in a table.
class Int4DequantizerBf16 : public Dequantizer<Avx512, int4::Weight> {
 public:
  TORCHAO_OPS_INLINE Int4DequantizerBf16(const int4::Weight& weight, float* scratch)
      : Dequantizer<Avx512, int4::Weight>(weight, scratch),
        tables_(weight.group_size % 32 == 0 || weight.group_size >= weight.K) {}

  TORCHAO_OPS_INLINE void dequantize(int64_t row, BFloat16* out) const {
    if (!tables_) {
      Dequantizer<Avx512, int4::Weight>::dequantize(row, out);
      return;
    }
    prefetch_next(row);
    const uint8_t* packed = codes(row);
    for_each_group(row, [&](int64_t begin, int64_t end, float scale, float zero_point) {
      const __m512i table = table_of(scale, zero_point);
      const int64_t vectors = (end - begin) / 32;
      for (int64_t v = 0; v < vectors; ++v, packed += 16, out += 32) Avx512::store_bits(out, lookup(table, packed));
      const int64_t left = (end - begin) % 32;
      if (left != 0) {  // the end of the columns, perhaps of the row: no byte beyond may be read, nor written
        uint8_t rest[16] = {};
        for (int64_t j = 0; 2 * j < left; ++j) rest[j] = packed[j];
        BFloat16 numbers[32];
        Avx512::store_bits(numbers, lookup(table, rest));
        for (int64_t j = 0; j < left; ++j) out[j] = numbers[j];
      }
    });
  }

 private:
  TORCHAO_OPS_INLINE static __m512i table_of(float scale, float zero_point) {
    const __m512 code = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BFloat16 table[32];
    const __m512 numbers = Avx512::mul(Avx512::sub(code, Avx512::set(zero_point)), Avx512::set(scale));
    Avx512::store(table, numbers);
    Avx512::store(table + 16, numbers);
    return Avx512::load_bits(table);
  }
  // 32 codes, from 16 bytes, looked up in order.
  TORCHAO_OPS_INLINE static __m512i lookup(__m512i table, const uint8_t* codes) {
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m128i low = _mm_and_si128(bytes, mask), high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    const __m256i ordered =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(low, high)), _mm_unpackhi_epi8(low, high), 1);
    return _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(ordered), table);
  }

  const bool tables_;
};

}  // namespace
}  // namespace torchao_ops
