// How int4 codes become numbers in vector registers.
#pragma once

#include "csrc/cpu/decode.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

// For Decode, any ISA with fp32 multiply-add. A 32-bit lane holds 8 codes; part j is code j. The code is not shifted down: masked
// where it stands it is the integer code * 16^j, which converts to fp32 exactly, and the activations carry the factor 16^-j (powers of
// two: exact). Only the topmost code needs a shift, since it would be negative, and no mask then.
//
// `centered` numbers are code - 8, an instruction more per part. The sums of uncentered ones are larger than the result and their rounding
// errors with them: ~5e-7 relative, nothing against the rounding of a bf16 or fp16 result, but more than a dense fp32 product makes.
template <class V, bool centered>
struct Int4CodesFp32 {
  using Args = Int4MmArgs;
  using Vector = V;
  using Activation = float;
  using Chunk = typename V::Int;
  using Numbers = typename V::Float;
  using Sum = typename V::Float;
  static constexpr bool quantizes = false, uses_lane_sums = true, exact_rows = false;
  static constexpr int64_t chunk_k = 8 * V::lanes, max_step = whole_groups;
  static constexpr int parts = 8;
  static constexpr int offset = centered ? 8 : 0;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out, int64_t stride, float* lane_sums) {
    constexpr float factor[8] = {1.0f, 1.0f / 16, 1.0f / 256, 1.0f / 4096, 1.0f / 65536, 1.0f / 1048576, 1.0f / 16777216, 1.0f};
    for (int lane = 0; lane < V::lanes; lane += 8) {  // 8 lanes of 8 codes are a square to transpose
      Avx2::Float r[8];
      for (int i = 0; i < 8; ++i) r[i] = Avx2::load(chunk + 8 * (lane + i));
      Avx2::transpose(r);
      for (int j = 0; j < 8; ++j) Avx2::store(out + j * stride + lane, Avx2::mul(r[j], Avx2::set(factor[j])));
      Avx2::Float sum = Avx2::load(lane_sums + lane);
      for (int j = 0; j < 8; ++j) sum = Avx2::add(sum, r[j]);
      Avx2::store(lane_sums + lane, sum);
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
  TORCHAO_OPS_INLINE static Sum start(typename V::Float) { return V::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, typename V::Float x) {
    return V::accumulate(sum, numbers, x);
  }
  TORCHAO_OPS_INLINE static typename V::Float finish(Sum sum, typename V::Float X, typename V::Float zero_point) {
    return V::fnma(zero_point, X, sum);
  }
  TORCHAO_OPS_INLINE static typename V::Float repeat(const float* p) { return V::repeat4(p); }
};

// For Decode with int8 activations. A byte vector of low nibbles holds the even elements, one of high nibbles the odd ones; their products
// with 8-bit activations are summed within 32-bit lanes, in integers: exactly.
template <class V>
struct Int4CodesInt8 {
  using Args = Int4MmArgs;
  using Vector = V;
  using Activation = int8_t;
  using Chunk = typename V::Int;
  using Sum = typename V::Int;
  struct Pair {
    typename V::Int even, odd;
  };
  using Numbers = Pair;
  static constexpr bool quantizes = true, uses_lane_sums = true, exact_rows = false;
  static constexpr int64_t chunk_k = 8 * V::lanes, max_step = whole_groups;
  static constexpr int parts = 1;
  static constexpr int offset = 0;

  TORCHAO_OPS_INLINE static void place(const float* chunk, int8_t* out, int64_t, float* lane_sums) {  // a single part
    for (int lane = 0; lane < V::lanes; ++lane) {
      const float* e = chunk + 8 * lane;
      lane_sums[lane] += ((e[0] + e[1]) + (e[2] + e[3])) + ((e[4] + e[5]) + (e[6] + e[7]));
      for (int i = 0; i < 4; ++i) {
        out[4 * lane + i] = static_cast<int8_t>(static_cast<int32_t>(e[2 * i]));
        out[4 * (V::lanes + lane) + i] = static_cast<int8_t>(static_cast<int32_t>(e[2 * i + 1]));
      }
    }
  }
  TORCHAO_OPS_INLINE static typename V::Int load(const uint8_t* p) { return V::load_bits(p); }
  TORCHAO_OPS_INLINE static Numbers numbers(typename V::Int codes, int) {
    return {V::bit_and(codes, 0x0f0f0f0fu), V::bit_and(V::shift_right(codes, 4), 0x0f0f0f0fu)};
  }
  TORCHAO_OPS_INLINE static Pair load_activations(const int8_t* p) { return {V::load_bits(p), V::load_bits(p + 4 * V::lanes)}; }
  TORCHAO_OPS_INLINE static Sum start(typename V::Float) { return V::zero_bits(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, Pair x) {
    return V::dot_u4_s8_pair(sum, numbers.even, x.even, numbers.odd, x.odd);
  }
  TORCHAO_OPS_INLINE static typename V::Float finish(Sum sum, typename V::Float X, typename V::Float zero_point) {
    return V::fnma(zero_point, X, V::from_int(sum));
  }
  TORCHAO_OPS_INLINE static typename V::Float repeat(const float* p) { return V::repeat4(p); }
};

}  // namespace
}  // namespace torchao_ops
