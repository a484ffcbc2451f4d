// x per row to int8, for products with integer dots, or to the numbers of an 8-bit float.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/float8.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"

namespace torchao_ops::cuda {

// Elements of a quantized row: zeros from K on, up to a multiple of any chunk (mm_mma.h).
TORCHAO_OPS_CONSTEXPR int64_t quantized_row_elements(int64_t K) { return ceil_div(K, 128) * 128; }

// The order of q in each step of 32: the four octets' first registers, then their second ones (mm_dot.cuh). The first holds an octet's even
// elements, or the first four. Or the order of x, as cuBLASLt wants it.
enum class OctetOrder { even_odd, halves, natural };

// Where element k of a row lies.
TORCHAO_OPS_CONSTEXPR int64_t quantized_place(OctetOrder order, int64_t k) {
  if (order == OctetOrder::natural) return k;
  const int64_t in_octet = order == OctetOrder::even_odd ? k % 2 * 16 + k % 8 / 2 : k % 8 / 4 * 16 + k % 4;
  return k / 32 * 32 + k % 32 / 8 * 4 + in_octet;
}

// Quantized rows of x in a workspace: fp32 scales [M], then [M, quantized_row_elements(K)] of int8, or of fp16 (2 bytes). What else a product keeps there
// follows.
struct QuantizedX {
  float* scale;
  uint8_t* q;
  int64_t row_bytes;
  void* rest;

  static constexpr int64_t scale_bytes(int64_t M) { return workspace_aligned(M * static_cast<int64_t>(sizeof(float))); }
  static constexpr int64_t bytes(int64_t M, int64_t K, int64_t element_bytes = 1) {
    return scale_bytes(M) + workspace_aligned(M * quantized_row_elements(K) * element_bytes);
  }
  QuantizedX(int64_t M, int64_t K, void* workspace, int64_t element_bytes = 1)
      : scale(static_cast<float*>(workspace)),
        q(static_cast<uint8_t*>(workspace) + scale_bytes(M)),
        row_bytes(quantized_row_elements(K) * element_bytes),
        rest(static_cast<uint8_t*>(workspace) + bytes(M, K, element_bytes)) {}
};

// scale[m] = max|x[m]| / 127 in fp32, q = clamp(round_half_even(x / scale), -127, 127). For a row with NaN or Inf, and for one whose scale underflows to 0
// though the row is not zero: scale NaN and zeros.
Status quantize_activations(const MmArgs& mm, int64_t K, OctetOrder order, const QuantizedX& x, const Context& context);
// The same with scale[m] = max|x[m]| / the type's largest number and q = x / scale rounded to the type, as fp16, which has all of its numbers.
Status round_activations(const MmArgs& mm, int64_t K, Float8Type type, const QuantizedX& x, const Context& context);
// Where they are, and how large that is.
inline QuantizedX rounded_x(int64_t M, int64_t K, void* workspace) { return {M, K, workspace, 2}; }
constexpr int64_t rounded_x_bytes(int64_t M, int64_t K) { return QuantizedX::bytes(M, K, 2); }
// The same as codes of the type, in the order of x.
Status round_activations_to_codes(const MmArgs& mm, int64_t K, Float8Type type, const QuantizedX& x, const Context& context);

}  // namespace torchao_ops::cuda
