// Products with bf16 activations and vdpbf16ps, which adds two bf16 products to each fp32 lane. Products are exact and sums round as fp32 ones do, but
// subnormal inputs count as zero. That matters to no ordinary row of x (activations.h) and to no decode, where codes are multiplied and
// scales applied in fp32; prefill recomputes the rows and columns to which it may.
#pragma once

#include "csrc/cpu/activations.h"
#include "csrc/cpu/panels.h"
#include "csrc/cpu/simd_avx512.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/parallel.h"

namespace torchao_ops {
namespace {

// vdpbf16ps: sum + the two bf16 products of each 32-bit lane. See simd_avx512.h for why it is not an intrinsic.
TORCHAO_OPS_INLINE __m512 dot_bf16(__m512 sum, __m512i a, __m512i b) {
#ifdef TORCHAO_OPS_EMULATE_AVX512
  __m512bh pairs_a, pairs_b;
  std::memcpy(&pairs_a, &a, sizeof(a));
  std::memcpy(&pairs_b, &b, sizeof(b));
  return _mm512_dpbf16_ps(sum, pairs_a, pairs_b);
#else
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
#endif
}

// For mm_prefill: a word is two bf16. The weights are rounded to bf16, as those of a dense bf16 product are.
struct Bf16Tile {
  using Vector = Avx512;
  using Word = int32_t;
  using Element = BFloat16;
  static constexpr int step = 2;
  TORCHAO_OPS_INLINE static Avx2::Float load_words(const BFloat16* p) { return Avx2::load_words(p); }
  TORCHAO_OPS_INLINE static Avx2::Float load_words(const void*) { return Avx2::zero(); }  // x is bf16: no other type comes here
  TORCHAO_OPS_INLINE static __m512 broadcast(const Word* p) { return _mm512_castsi512_ps(Avx512::set_bits(*p)); }
  TORCHAO_OPS_INLINE static __m512 dot(__m512 sum, __m512 x, __m512 w) {
    return dot_bf16(sum, _mm512_castps_si512(x), _mm512_castps_si512(w));
  }
};

// Rows of x that are not ordinary, and columns of weights so small that some of them may be subnormal as bf16.
template <class Args>
TORCHAO_OPS_INLINE void recompute_unusual(const Args& args, const Parallel& parallel) {
  const auto& w = args.weight;
  for_each_piece(parallel, args.mm.M, [&](int64_t m, int64_t) {
    const BFloat16* x = static_cast<const BFloat16*>(args.mm.x) + m * args.mm.x_row_stride;
    uint32_t bits = 0;
    for (int64_t k = 0; k < w.K; ++k) bits = (x[k].bits & 0x7fffu) > bits ? x[k].bits & 0x7fffu : bits;
    if (!is_ordinary_row(float_from_bits(bits << 16))) mm_scalar_row(args, m, 0, w.N);
  });
  constexpr int64_t columns = 64;
  for_each_piece(parallel, ceil_div(w.N, columns), [&](int64_t piece, int64_t) {
    const int64_t end = w.N - piece * columns < columns ? w.N : (piece + 1) * columns;
    for (int64_t n = piece * columns; n < end; ++n) {
      bool tiny = false;
      const int64_t first = w.group_position(n, 0) / w.group_size;
      const int64_t end_group = w.K == 0 ? first : w.group_position(n, w.K - 1) / w.group_size + 1;
      for (int64_t g = first; g < end_group; ++g) {
        const float magnitude = float_from_bits(float_bits(w.scale_at(n, g)) & 0x7fffffffu);
        tiny = tiny || (magnitude != 0.0f && magnitude < 7.8886090522101181e-31f);  // 2^-100
      }
      for (int64_t m = 0; tiny && m < args.mm.M; ++m) mm_scalar_row(args, m, n, n + 1);
    }
  });
}

}  // namespace
}  // namespace torchao_ops
