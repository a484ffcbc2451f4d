// The dot products that tensor cores form, by the type of the activations.
//
// In a step, 32 consecutive k, a row of x is four octets of 8 elements, one for each lane of a group of four. A lane's part of the operand
// is `words` registers an octet, and register j of the four octets lies in 16 adjacent bytes: what ldmatrix takes for a row of a matrix. So
// x is kept as steps of 16 * words bytes. Which elements of an octet go to which register is the weight format's choice.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "csrc/cuda/ptx.cuh"

namespace torchao_ops::cuda {

// 16-bit elements, two in a register; two products of 16 x 8 x 16 make a step.
struct Float16Dot {
  using Sum = float;
  static constexpr int words = 4, mmas = words / 2;

  template <int Factor>
  __device__ __forceinline__ static float to_float(float sum) {
    return sum;
  }
};

struct Bf16Dot : Float16Dot {
  using Element = __nv_bfloat16;
  static constexpr uint32_t ones = 0x3f803f80u;
  __device__ __forceinline__ static void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
};

struct F16Dot : Float16Dot {
  using Element = __half;
  static constexpr uint32_t ones = 0x3c003c00u;
  __device__ __forceinline__ static void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
};

// operation(a, b) of two registers of pairs.
template <class Element, class Operation>
__device__ __forceinline__ uint32_t combine_pairs(uint32_t a, uint32_t b, const Operation& operation) {
  using Pair = std::conditional_t<std::is_same_v<Element, __half>, __half2, __nv_bfloat162>;
  Pair x, y;
  memcpy(&x, &a, 4);
  memcpy(&y, &b, 4);
  x = operation(x, y);
  memcpy(&a, &x, 4);
  return a;
}
// Sums and products, each rounded.
template <class Element>
__device__ __forceinline__ uint32_t add_pairs(uint32_t a, uint32_t b) {
  return combine_pairs<Element>(a, b, [](auto x, auto y) { return __hadd2(x, y); });
}
template <class Element>
__device__ __forceinline__ uint32_t multiply_pairs(uint32_t a, uint32_t b) {
  return combine_pairs<Element>(a, b, [](auto x, auto y) { return __hmul2(x, y); });
}

// Bytes, four in a register; one product of 16 x 8 x 32 makes a step.
struct Int8Dot {
  using Sum = int32_t;
  static constexpr int words = 2, mmas = words / 2;
  static constexpr uint32_t ones = 0x01010101u;

  __device__ __forceinline__ static void mma(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k32_s8(d, a, b);
  }
  // Of a sum over at most a chunk of which one operand was Factor times too large. Factor is a power of two, and the sum is below 2^24 (128 * 127
  // * 128 for any operands of 8 bits), so both steps are exact.
  template <int Factor>
  __device__ __forceinline__ static float to_float(int32_t sum) {
    return static_cast<float>(sum) * (1.0f / Factor);
  }
};

}  // namespace torchao_ops::cuda
