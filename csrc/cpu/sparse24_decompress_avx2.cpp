#include <immintrin.h>

#include <cstring>

#include "csrc/cpu/sparse24_decompress_impl.h"

namespace torchao_ops {
namespace {

// For each byte of bitmask and each of its eight elements: which of the four values it is, in units of values and of bytes of two-byte ones;
// with the upper bit set, none.
struct Slots {
  uint8_t values[256][8];
  uint8_t bytes_of_two[256][16];
};
constexpr Slots make_slots() {
  Slots slots = {};
  for (int byte = 0; byte < 256; ++byte) {
    for (int i = 0; i < 8; ++i) {
      const int quad = i / 4, bits = byte >> 4 * quad & 15;
      const bool is_kept = (byte >> i & 1) != 0;
      const int slot = 2 * quad + sparse24::slot_of(bits, i % 4);
      slots.values[byte][i] = static_cast<uint8_t>(is_kept ? slot : 0x80);
      for (int b = 0; b < 2; ++b) slots.bytes_of_two[byte][2 * i + b] = static_cast<uint8_t>(is_kept ? 2 * slot + b : 0x80);
    }
  }
  return slots;
}
constexpr Slots slots = make_slots();

struct Avx2Expand {
  static constexpr int64_t columns = 16;
  TORCHAO_OPS_INLINE static void run(const uint32_t* values, const uint8_t* bitmask, uint32_t* out) {
    for (int i = 0; i < 2; ++i) {
      const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 4 * i));
      const __m256i slot = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(slots.values[bitmask[i]])));
      const __m256i numbers = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(four), slot);
      const __m256i placed = _mm256_andnot_si256(_mm256_srai_epi32(slot, 31), numbers);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * i), placed);
    }
  }
  TORCHAO_OPS_INLINE static void run(const uint16_t* values, const uint8_t* bitmask, uint16_t* out) {
    const __m256i eight = _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
    const __m256i four_a_lane = _mm256_permute4x64_epi64(eight, 0x10);
    const __m256i slot = _mm256_setr_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i*>(slots.bytes_of_two[bitmask[0]])),
                                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots.bytes_of_two[bitmask[1]])));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_shuffle_epi8(four_a_lane, slot));
  }
  TORCHAO_OPS_INLINE static void run(const uint8_t* values, const uint8_t* bitmask, uint8_t* out) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(values));
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(slots.values[bitmask[0]]));
    const __m128i second = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(slots.values[bitmask[1]]));
    const __m128i slot = _mm_unpacklo_epi64(first, _mm_add_epi8(second, _mm_set1_epi8(4)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(eight, slot));
  }
};

}  // namespace

Status sparse24_decompress_avx2(const Sparse24DecompressArgs& args, const Parallel& parallel) {
  return decompress<Avx2Expand>(args, parallel);
}

}  // namespace torchao_ops
