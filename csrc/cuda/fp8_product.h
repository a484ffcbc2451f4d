// Products of two fp8 matrices, by cuBLASLt: in tensor cores' fp8 where it has that, of dequantized operands elsewhere.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/fp8_scaled_mm.h"

namespace torchao_ops::cuda {

struct Fp8Product {
  Fp8ScaledMmArgs args;
  // What a was before it was quantized with one scale a row, [M, K], or null. Sums that are not finite are formed again from it.
  const void* x;
  FloatType x_type;
  int64_t x_row_stride;
};

// Whether the operands can be multiplied as they are, by fp8_gemm or as numbers of bf16. If not, they are dequantized to fp32, which is slow.
bool multiplies_numbers(const Fp8ScaledMmArgs& args, const Device& device);

int64_t fp8_product_workspace_bytes(const Fp8Product& product, const Device& device);
Status fp8_product(const Fp8Product& product, const Context& context);

}  // namespace torchao_ops::cuda
