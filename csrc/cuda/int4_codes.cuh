// int4 codes as operands of tensor cores: what mm_mma.cuh asks of a weight format.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// The operand is code - 8, which is exact in every type and makes symmetric weights need nothing else; see Int4::offset.
struct Int4 {
  using Weight = int4::Weight;
  static constexpr int step_bytes =
      16;  // of a row, for 32 elements: a word of 8 codes, an octet, for each of the four lanes of a row

  __device__ static const uint8_t* row(const Weight& w, int64_t n) { return w.packed + n * w.packed_row_stride; }
  __host__ __device__ static int64_t row_bytes(const Weight& w) { return int4::packed_columns(w.K); }

  // w = scale * (operand + offset).
  __device__ static float scale(const Weight& w, int64_t n, int64_t group) { return w.scale_at(n, group); }
  __device__ static float offset(const Weight& w, int64_t n, int64_t group) {
    return static_cast<float>(int4::symmetric_zero_point) - w.zero_point_at(n, group);
  }
  // One element, exactly as int4_dequantize has it in fp32.
  __device__ static float element(const Weight& w, int64_t n, int64_t k) {
    const int64_t group = group_of(k, w.group_size);
    return (static_cast<float>(w.code(n, k)) - w.zero_point_at(n, group)) * w.scale_at(n, group);
  }

  // The fragments of 16 rows and 32 columns: this lane has the octet `lo` of row g and `hi` of row g + 8. The columns are taken in the
  // order that costs no shuffling of codes, which Dot::order_octet gives to x as well: register j of row g holds the pair (j, j + 4).
  __device__ __forceinline__ static void fragments(Bf16Dot, uint32_t lo, uint32_t hi, uint32_t (&a)[2][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      a[j / 2][j % 2 * 2] = pair<__nv_bfloat162>(lo, j, 0x43004300u, 0xc308c308u);
      a[j / 2][j % 2 * 2 + 1] = pair<__nv_bfloat162>(hi, j, 0x43004300u, 0xc308c308u);
    }
  }
  __device__ __forceinline__ static void fragments(F16Dot, uint32_t lo, uint32_t hi, uint32_t (&a)[2][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      a[j / 2][j % 2 * 2] = pair<__half2>(lo, j, 0x64006400u, 0xe408e408u);
      a[j / 2][j % 2 * 2 + 1] = pair<__half2>(hi, j, 0x64006400u, 0xe408e408u);
    }
  }
  // Bytes: a register holds the even elements of an octet, another the odd ones. A code in the high half of a byte with its top bit flipped is
  // 16 * (code - 8), so no subtraction is needed; Int8Dot::to_float takes the 16 out again.
  __device__ __forceinline__ static void fragments(Int8Dot, uint32_t lo, uint32_t hi, uint32_t (&a)[1][4]) {
    a[0][0] = ((lo << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][1] = ((hi << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][2] = (lo & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][3] = (hi & 0xf0f0f0f0u) ^ 0x80808080u;
  }
  // What the 8-bit operand is too large by.
  static constexpr int int8_factor = 16;

 private:
  // Codes j and j + 4 of an octet, minus 8. OR-ed into the low mantissa bits of `base` they are base + code (128 in bf16, 1024 in fp16), and
  // adding minus_base = -(base + 8) is exact.
  template <class Pair>
  __device__ __forceinline__ static uint32_t pair(uint32_t octet, int j, uint32_t base, uint32_t minus_base) {
    uint32_t bits = ptx::and_or(octet >> 4 * j, 0x000f000fu, base);
    Pair sum, subtrahend;
    memcpy(&sum, &bits, 4);
    memcpy(&subtrahend, &minus_base, 4);
    sum = __hadd2(sum, subtrahend);
    memcpy(&bits, &sum, 4);
    return bits;
  }
};

}  // namespace torchao_ops::cuda
