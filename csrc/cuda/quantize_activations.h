// x per row to int8, for products with integer dots.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/cuda/mm_mma.h"
#include "csrc/spec/mm.h"

namespace torchao_ops::cuda {

// Bytes of a quantized row: whole chunks, zeros from K on.
constexpr int64_t quantized_row_bytes(int64_t K) { return ceil_div(K, chunk_k) * chunk_k; }

// Where element k of a row lies: in each step of 32, the even elements of the four octets, then the odd ones (Int8Dot in mm_dot.cuh).
TORCHAO_OPS_CONSTEXPR int64_t quantized_place(int64_t k) { return k / 32 * 32 + k % 2 * 16 + k % 32 / 8 * 4 + k % 8 / 2; }

// scale[m] = max|x[m]| / 127 in fp32, q = clamp(round_half_even(x / scale), -127, 127). For a row with NaN or Inf, and for one whose scale underflows to 0
// though the row is not zero: scale NaN and zeros.
//   q: int8 [M, quantized_row_bytes(K)], aligned to 16 bytes;  scale: fp32 [M]
Status quantize_activations(const MmArgs& mm, int64_t K, uint8_t* q, float* scale, const Context& context);

}  // namespace torchao_ops::cuda
