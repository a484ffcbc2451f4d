// Integer products of int8 codes with int8 activations, for DynamicPrefill on AVX2: a word is two codes, as 16-bit integers. Exact: see
// Int8CodesInt16.
#pragma once

#include "csrc/cpu/int8_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

struct Int8DotInt16 {
  using Args = Int8MmArgs;
  using Vector = Avx2;
  using Code = int16_t;
  using Activation = int16_t;
  using Sum = __m256i;
  static constexpr int64_t step = 2, exact_k = int8_exact_k;
  static constexpr int64_t max_words = int64_t{1} << 16;  // 2 * 128 * 127 * 2^16 < 2^31
  static constexpr bool uses_run_sums = false;
  static constexpr int block_rows = 4;  // 4 * 2 sums, 2 vectors of x, a broadcast word and a product of 16 registers

  TORCHAO_OPS_INLINE static void unpack(const uint8_t* codes, int64_t count, int16_t* out) {
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) Avx2::store_bits(out + k, Avx2::widen(codes + k));
    for (; k < count; ++k) out[k] = static_cast<int8_t>(codes[k]);
  }
  TORCHAO_OPS_INLINE static int16_t code_of(int8_t code) { return code; }
  TORCHAO_OPS_INLINE static Sum start(__m256) { return Avx2::zero_bits(); }
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, __m256i x, __m256i w) { return Avx2::dot_s16(sum, w, x); }
  TORCHAO_OPS_INLINE static __m256 finish(Sum sum, __m256, __m256) { return Avx2::from_int(sum); }
};

}  // namespace
}  // namespace torchao_ops
