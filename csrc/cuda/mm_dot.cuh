// The dot products that tensor cores form, by the type of the activations.
//
// In a step, 32 consecutive k, a row of x is four octets of 8 elements, one for each lane of a group of four. A lane's part of the operand
// is `words` registers an octet, and register j of the four octets lies in 16 adjacent bytes: what ldmatrix takes for a row of a matrix. So
// x is kept as steps of 16 * words bytes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "csrc/cuda/ptx.cuh"

namespace torchao_ops::cuda {

// 16-bit elements. Register j of an octet is the pair (j, j + 4); two products of 16 x 8 x 16 make a step.
struct Float16Dot {
  using Sum = float;
  static constexpr int words = 4, mmas = words / 2;

  // Elements (0, 1), (2, 3), (4, 5), (6, 7) of an octet in, its registers out.
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[words]) {
    out[0] = __byte_perm(in[0], in[2], 0x5410);
    out[1] = __byte_perm(in[0], in[2], 0x7632);
    out[2] = __byte_perm(in[1], in[3], 0x5410);
    out[3] = __byte_perm(in[1], in[3], 0x7632);
  }
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

// Bytes. Register 0 of an octet holds the elements 0, 2, 4, 6, register 1 the others; one product of 16 x 8 x 32 makes a step.
struct Int8Dot {
  using Sum = int32_t;
  static constexpr int words = 2, mmas = words / 2;
  static constexpr uint32_t ones = 0x01010101u;

  // Elements 0 to 3 and 4 to 7 of an octet in, its registers out.
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[2], uint32_t (&out)[words]) {
    out[0] = __byte_perm(in[0], in[1], 0x6420);
    out[1] = __byte_perm(in[0], in[1], 0x7531);
  }
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
