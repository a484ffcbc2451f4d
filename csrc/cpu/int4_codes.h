// How int4 codes become numbers in vector registers.
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"

namespace torchao_ops {
namespace {

// For Int4Decode, any ISA with fp32 multiply-add. A 32-bit lane holds 8 codes; part j is code j. The code is not shifted down: masked
// where it stands it is the integer code * 16^j, which converts to fp32 exactly, and the activations carry the factor 16^-j (powers of
// two: exact). Only the topmost code needs a shift, since it would be negative, and no mask then.
//
// `centered` numbers are code - 8, an instruction more per part. The sums of uncentered ones are larger than the result and their rounding
// errors with them: ~5e-7 relative, nothing against the rounding of a bf16 or fp16 result, but more than a dense fp32 product makes.
template <class V, bool centered>
struct Int4CodesFp32 {
  using Vector = V;
  using Activation = float;
  using Numbers = typename V::Float;
  static constexpr int parts = 8;
  static constexpr int offset = centered ? 8 : 0;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out, float* lane_sums) {
    constexpr float factor[8] = {1.0f,         1.0f / 16,      1.0f / 256,      1.0f / 4096,
                                 1.0f / 65536, 1.0f / 1048576, 1.0f / 16777216, 1.0f};
    for (int lane = 0; lane < V::lanes; lane += 8) {  // 8 lanes of 8 codes are a square to transpose
      Avx2::Float r[8];
      for (int i = 0; i < 8; ++i) r[i] = Avx2::load(chunk + 8 * (lane + i));
      Avx2::transpose(r);
      for (int j = 0; j < 8; ++j) Avx2::store(out + j * V::lanes + lane, Avx2::mul(r[j], Avx2::set(factor[j])));
      const Avx2::Float low = Avx2::add(Avx2::add(r[0], r[1]), Avx2::add(r[2], r[3]));
      const Avx2::Float high = Avx2::add(Avx2::add(r[4], r[5]), Avx2::add(r[6], r[7]));
      Avx2::store(lane_sums + lane, Avx2::add(low, high));
    }
  }
  TORCHAO_OPS_INLINE static typename V::Int load(const uint8_t* p) { return V::load_bits(p); }
  TORCHAO_OPS_INLINE static Numbers numbers(typename V::Int codes, int part) {
    const int shift = part == 7 ? 0 : 4 * part;
    typename V::Int code = part == 7 ? V::shift_right(codes, 28) : V::bit_and(codes, 15u << shift);
    if (centered) code = V::subtract(code, 8u << shift);
    return V::from_int(code);
  }
  TORCHAO_OPS_INLINE static typename V::Float load_activations(const float* p) { return V::load(p); }
  TORCHAO_OPS_INLINE static typename V::Float dot(typename V::Float sum, Numbers numbers, typename V::Float x) {
    return V::fma(numbers, x, sum);
  }
};

}  // namespace
}  // namespace torchao_ops
