// Integer products of int4 codes with int8 activations, for DynamicPrefill: a word is four codes, a byte each.
#pragma once

#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

// Dot is the ISA's product of words of unsigned codes with words of int8.
template <class Dot>
struct Int4Dot : Dot {
  using Args = Int4MmArgs;
  using Code = uint8_t;
  using Activation = int8_t;
  using V = typename Dot::Vector;
  using typename Dot::Sum;
  static constexpr int64_t step = 4, exact_k = 0;
  static constexpr bool uses_run_sums = true;

  TORCHAO_OPS_INLINE static void unpack(const uint8_t* packed, int64_t count, uint8_t* out) { unpack_codes(packed, count, out); }
  TORCHAO_OPS_INLINE static uint8_t code_of(uint8_t code) { return code; }
  TORCHAO_OPS_INLINE static Sum start(typename V::Float) { return V::zero_bits(); }
  TORCHAO_OPS_INLINE static typename V::Float finish(Sum sum, typename V::Float Q, typename V::Float zero_point) {
    return V::fnma(zero_point, Q, Dot::to_float(sum));
  }
};

}  // namespace
}  // namespace torchao_ops
