// Codes of a byte each, and weights of such codes, as bf16 numbers: byte_codes.h.
#pragma once

#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {
namespace {

// 32 fp32 numbers as bf16, low first, rounded to nearest even. Subnormals become zero.
TORCHAO_OPS_INLINE __m512i to_bf16(__m512 low, __m512 high) {
#ifdef TORCHAO_OPS_EMULATE_AVX512
  BFloat16 numbers[32];
  Avx512::store(numbers, low);
  Avx512::store(numbers + 16, high);
  return Avx512::load_bits(numbers);
#else
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
#endif
}

// For Decode, of codes whose numbers are exact in bf16.
template <class ArgsOf, class Loader>
struct ByteCodesBf16 {
  using Args = ArgsOf;
  using Vector = Avx512;
  using Activation = BFloat16;
  using Chunk = const uint8_t*;
  using Numbers = __m512i;
  using Sum = __m512;
  static constexpr bool quantizes = false, uses_lane_sums = false, exact_rows = false;
  static constexpr int64_t chunk_k = 32, max_step = 8;
  static constexpr int parts = 1;

  TORCHAO_OPS_INLINE static void place(const float* chunk, BFloat16* out, int64_t, float*) {
    for (int i = 0; i < 32; ++i) out[i].bits = static_cast<uint16_t>(float_bits(chunk[i]) >> 16);  // exact: they came as bf16
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) { return p; }
  TORCHAO_OPS_INLINE static Numbers numbers(Chunk codes, int) {
    return to_bf16(Loader::template load<Avx512>(codes), Loader::template load<Avx512>(codes + 16));
  }
  TORCHAO_OPS_INLINE static __m512i load_activations(const BFloat16* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Sum start(__m512) { return Avx512::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m512i x) { return dot_bf16(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m512 finish(Sum sum, __m512, __m512) { return sum; }
};

// Dequantizer for bf16, 32 weights at a time.
template <class Weight>
class DequantizerBf16 : public Dequantizer<Avx512, Weight> {
 public:
  using Dequantizer<Avx512, Weight>::Dequantizer;

  TORCHAO_OPS_INLINE void dequantize(int64_t row, BFloat16* out) const {
    this->prefetch_next(row);
    const uint8_t* p = this->codes(row);
    this->for_each_group(row, [&](int64_t begin, int64_t end, float group_scale, float) {
      const __m512 scale = Avx512::set(group_scale);
      auto weights = [&](const uint8_t* from) {
        return to_bf16(this->numbers(from, scale, Avx512::zero()), this->numbers(from + 16, scale, Avx512::zero()));
      };
      const int64_t vectors = (end - begin) / 32, left = (end - begin) % 32;
      for (int64_t v = 0; v < vectors; ++v, p += 32, out += 32) Avx512::store_bits(out, weights(p));
      if (left != 0) {  // perhaps the end of the row: no byte beyond may be read, nor written
        uint8_t rest[32] = {};
        BFloat16 rest_out[32];
        for (int64_t j = 0; j < left; ++j) rest[j] = p[j];
        Avx512::store_bits(rest_out, weights(rest));
        for (int64_t j = 0; j < left; ++j) out[j] = rest_out[j];
        p += left;
        out += left;
      }
    });
  }
};

}  // namespace
}  // namespace torchao_ops
