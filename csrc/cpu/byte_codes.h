// How codes of a byte each become numbers in vector registers: in the order in which they lie in memory.
//
// Loader says what they are: load<V>(p) gives the numbers of a vector of codes, exactly. They are so small that the products of a step, 256 k, with an
// ordinary row of x (activations.h) do not overflow: 2^100 * 57344 * 256 < 2^128 for the largest, e5m2's.
#pragma once

#include "csrc/cpu/decode.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

// For Decode, any ISA with fp32 multiply-add.
template <class V, class ArgsOf, class Loader>
struct ByteCodesFp32 {
  using Args = ArgsOf;
  using Vector = V;
  using Activation = float;
  using Chunk = const uint8_t*;
  using Numbers = typename V::Float;
  using Sum = typename V::Float;
  static constexpr bool quantizes = false, uses_lane_sums = false, exact_rows = false;
  static constexpr int64_t chunk_k = 32, max_step = 8;  // 256 k: errors stay below those of a dense fp32 product
  static constexpr int parts = chunk_k / V::lanes;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out, int64_t stride, float*) {
    for (int j = 0; j < parts; ++j) V::store(out + j * stride, V::load(chunk + j * V::lanes));
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) { return p; }
  TORCHAO_OPS_INLINE static Numbers numbers(Chunk codes, int part) { return Loader::template load<V>(codes + part * V::lanes); }
  TORCHAO_OPS_INLINE static typename V::Float load_activations(const float* p) { return V::load(p); }
  TORCHAO_OPS_INLINE static Sum start(typename V::Float) { return V::zero(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, typename V::Float x) {
    return V::accumulate(sum, numbers, x);
  }
  TORCHAO_OPS_INLINE static typename V::Float finish(Sum sum, typename V::Float, typename V::Float) { return sum; }
};

}  // namespace
}  // namespace torchao_ops
