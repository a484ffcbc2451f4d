// sparse24_mm with bf16 activations and the bf16 dot product: bf16_dot.h.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/sparse24_prefill.h"
#include "csrc/cpu/sparse24_tiles.h"

namespace torchao_ops {
namespace {

// Pairs of bf16. Numbers that may be subnormal as bf16, which would count as zero, are left to the scalar kernel.
struct Sparse24Bf16Tile : PairsOfQuads {
  using Vector = Avx512;
  using Sum = __m512;
  static constexpr int max_vectors = max_rows / Avx512::lanes, max_sums = 28;

  TORCHAO_OPS_INLINE static void place(const Avx2::Float (&r)[8], int64_t panel, float* out) {
    __m256i x[8];
    for (int k = 0; k < 8; ++k) x[k] = Avx2::shift_right(_mm256_castps_si256(r[k]), 16);  // exact: they came as bf16
    PairsOfQuads::place(x, panel, out);
  }
  template <class T>
  TORCHAO_OPS_INLINE static bool list(const uint8_t* choices, const T* values, float scale, int64_t panel, int32_t* words,
                                      uint32_t* places) {
    list_places(choices, panel, places);
    const __m256 smallest = Avx2::set(7.8886090522101181e-31f);  // 2^-100
    __m256 tiny = Avx2::zero();
    BFloat16* numbers = reinterpret_cast<BFloat16*>(words);
    for (int64_t i = 0; i < 2 * block_quads; i += 8) {
      const __m256 w = Avx2::mul(load_values_avx2(values + i), Avx2::set(scale));
      const __m256 magnitude = _mm256_castsi256_ps(Avx2::magnitude_bits(w));
      tiny = _mm256_or_ps(
          tiny, _mm256_and_ps(_mm256_cmp_ps(magnitude, smallest, _CMP_LT_OQ), _mm256_cmp_ps(w, Avx2::zero(), _CMP_NEQ_OQ)));
      Avx2::store(numbers + i, w);
    }
    return _mm256_movemask_ps(tiny) == 0;
  }
  TORCHAO_OPS_INLINE static Sum zero() { return Avx512::zero(); }
  TORCHAO_OPS_INLINE static Sum load(const float* p) { return Avx512::load(p); }
  TORCHAO_OPS_INLINE static void store(float* p, Sum sum) { Avx512::store(p, sum); }
  TORCHAO_OPS_INLINE static Sum add(Sum a, Sum b) { return Avx512::add(a, b); }
  TORCHAO_OPS_INLINE static __m512 number(Sum sum) { return sum; }
  TORCHAO_OPS_INLINE static __m512i broadcast(int32_t word) { return Avx512::set_bits(word); }
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, const float* x, __m512i word) { return dot_bf16(sum, Avx512::load_bits(x), word); }
};

}  // namespace

Status sparse24_mm_prefill_avx512_bf16(const Sparse24MmArgs& args, const Parallel& parallel) {
  return with_values(args.weight, [&](auto* values) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(values)>>;
    return sparse24_prefill<Sparse24Bf16Tile, OrdinaryActivations, T>(args, parallel);
  });
}

}  // namespace torchao_ops
