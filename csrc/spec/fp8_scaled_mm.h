// fp8_scaled_mm: y[m, n] = sum_k a[m, k] * b[n, k] + bias[n], both operands fp8: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/fp8.h"

namespace torchao_ops {

struct Fp8ScaledMmArgs {
  fp8::Weight a;     // [M, K], M being its N
  fp8::Weight b;     // [N, K]; its type and granularity may differ from a's
  const void* bias;  // [N], or null
  FloatType bias_type;
  void* y;  // [M, N] adjacent; overlaps no input
  FloatType y_type;
};

// The answer, in double precision on the exactly dequantized operands. Kernels owe nearness, with fp32 sums: they may round number * scale of either operand
// to fp32 first, or apply the scales to sums. y: double [M, N].
void fp8_scaled_mm_ref(const Fp8ScaledMmArgs& args, double* y);

}  // namespace torchao_ops
