// Rows of a 2:4 sparse weight as the kernels that skip its zeros want them: which two elements of each quad are kept, as indices.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/cpu/sparse24_violation.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops {
namespace {

// A quad's choice: the index (0..3) of its first kept element in bits 0 and 1, of the second in bits 2 and 3; 0 for one that is not there. As many
// bits as the bitmask has, which tensor cores call metadata.
alignas(16) constexpr uint8_t choice_of_bits[16] = {0x0, 0x0, 0x1, 0x4, 0x2, 0x8, 0x9, 0x0,
                                                    0x3, 0xc, 0xd, 0x0, 0xe, 0x0, 0x0, 0x0};
// What there is to know about a quad: whether it keeps fewer than two, or more.
constexpr uint8_t few = 1, too_many = 2;
alignas(16) constexpr uint8_t flaw_of_bits[16] = {few, few, few, 0,        few, 0,        0,        too_many,
                                                  few, 0,   0,   too_many, 0,   too_many, too_many, too_many};

// What a kernel is told of a quad: its choice, or its bits as the bitmask has them.
enum class Marks { choices, bits };

// The marks of `bytes` bytes of bitmask. Returns all flaws there are.
template <Marks kind>
TORCHAO_OPS_INLINE uint8_t marks_of(const uint8_t* bitmask, int64_t bytes, uint8_t* marks) {
  const __m128i nibble = _mm_set1_epi8(15);
  const __m128i choice_table = _mm_load_si128(reinterpret_cast<const __m128i*>(choice_of_bits));
  const __m128i flaw_table = _mm_load_si128(reinterpret_cast<const __m128i*>(flaw_of_bits));
  __m128i flaws = _mm_setzero_si128();
  int64_t i = 0;
  for (; i + 16 <= bytes; i += 16) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bitmask + i));
    const __m128i low = _mm_and_si128(bits, nibble), high = _mm_and_si128(_mm_srli_epi16(bits, 4), nibble);
    __m128i of_bits = bits;
    if constexpr (kind == Marks::choices) {
      const __m128i high_choices = _mm_slli_epi16(_mm_shuffle_epi8(choice_table, high), 4);
      of_bits = _mm_or_si128(_mm_shuffle_epi8(choice_table, low), high_choices);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(marks + i), of_bits);
    flaws = _mm_or_si128(flaws, _mm_or_si128(_mm_shuffle_epi8(flaw_table, low), _mm_shuffle_epi8(flaw_table, high)));
  }
  // A flaw's bit of each byte, as its top bit.
  uint8_t all = 0;
  if (_mm_movemask_epi8(_mm_slli_epi16(flaws, 7)) != 0) all |= few;
  if (_mm_movemask_epi8(_mm_slli_epi16(flaws, 6)) != 0) all |= too_many;
  for (; i < bytes; ++i) {
    const int low = bitmask[i] & 15, high = bitmask[i] >> 4;
    marks[i] = kind == Marks::choices ? static_cast<uint8_t>(choice_of_bits[low] | choice_of_bits[high] << 4) : bitmask[i];
    all |= flaw_of_bits[low] | flaw_of_bits[high];
  }
  return all;
}

// Quads [begin, end) of a row, an even number of them from an even one on, with zeros in the places of elements that are not kept where there are fewer
// than two, and beyond the row. Returns all flaws but too few.
template <Marks kind, class Stored>
TORCHAO_OPS_INLINE uint8_t complete_quads(const uint8_t* bitmask_row, const Stored* values_row, int64_t K, int64_t begin,
                                          int64_t end, uint8_t* marks, Stored* values) {
  uint8_t flaws = 0;
  for (int64_t quad = begin; quad < end; ++quad) {
    const int bits = quad < sparse24::quads(K) ? sparse24::bits_of_quad(bitmask_row, quad, K) : 0;
    int completed = bits;
    for (int i = 0; sparse24::kept(completed) < 2; ++i) completed |= 1 << i;
    const int choice = choice_of_bits[completed];
    const int64_t i = quad - begin;
    const int mark = kind == Marks::choices ? choice : completed;
    marks[i / 2] = static_cast<uint8_t>(i % 2 == 0 ? mark : marks[i / 2] | mark << 4);
    for (int slot = 0; slot < 2; ++slot) {
      const int element = choice >> 2 * slot & 3;
      values[2 * i + slot] = (bits >> element & 1) != 0 ? values_row[2 * quad + sparse24::slot_of(bits, element)] : Stored{};
    }
    flaws |= flaw_of_bits[bits];
  }
  return flaws & too_many;
}

// A row whose quads all keep two elements.
template <class Stored>
struct CompletedRow {
  const uint8_t* marks;         // of all chunks
  const Stored *values, *rest;  // of the full chunks, and of the last one if it is not full
  float scale;
  bool usable;  // by a kernel that skips zeros

  TORCHAO_OPS_INLINE const Stored* chunk(int64_t c, int64_t full_chunks, int64_t chunk_values) const {
    return c < full_chunks ? values + c * chunk_values : rest;
  }
};

// Row n, cut into chunks of chunk_k, a multiple of 8. marks and values have room for all of them: values are used where those of the weight
// cannot be used as they are. Notes the row's first violation.
template <Marks kind, class Stored>
TORCHAO_OPS_INLINE CompletedRow<Stored> complete_row(const sparse24::Weight& w, int64_t n, int64_t chunk_k, uint8_t* marks,
                                                     Stored* values, Smallest* violation) {
  const uint8_t* bitmask = w.bitmask_row(n);
  const Stored* stored = static_cast<const Stored*>(w.values) + n * w.value_row_stride;
  const int64_t full = w.K / chunk_k * chunk_k;
  Stored* rest = values + full / 2;
  uint8_t flaws = marks_of<kind>(bitmask, full / 8, marks);
  if (full < w.K) flaws |= complete_quads<kind>(bitmask, stored, w.K, full / 4, (full + chunk_k) / 4, marks + full / 8, rest);
  if ((flaws & too_many) != 0) {
    violation->note(n * sparse24::quads(w.K) + first_violation(bitmask, w.K));
  } else if ((flaws & few) != 0) {
    complete_quads<kind>(bitmask, stored, w.K, 0, full / 4, marks, values);
    stored = values;
  }
  const float scale = w.scale_at(n, 0);
  return {marks, stored, rest, scale, (flaws & too_many) == 0 && is_finite(scale)};
}

}  // namespace
}  // namespace torchao_ops
