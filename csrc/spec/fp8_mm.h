// fp8_mm and fp8_dynamic_mm: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/fp8.h"
#include "csrc/spec/mm.h"

namespace torchao_ops {

struct Fp8MmArgs {
  MmArgs mm;
  fp8::Weight weight;  // [N, K]
};

// The answer, in double precision on the exactly dequantized weight: obvious loops, the definition that kernels are tested against.
// y: double [M, N].
void fp8_mm_ref(const Fp8MmArgs& args, double* y);

// The same for fp8_dynamic_mm: x is first quantized per row to the weight's type, scale = max|x| / largest in fp32, q = x / scale rounded to the type, half
// to even, and the product is formed from q * scale. A row that holds NaN or Inf, or whose scale underflows to 0, is not quantized: it gives what fp8_mm
// gives.
//
// Kernels owe nearness, with fp32 sums: they may multiply q by its scale first, or sums of q * number by the weight's scale and then x's. Where a weight
// is not finite, NaN may take the place of an Inf, since a small x may have become 0.
void fp8_dynamic_mm_ref(const Fp8MmArgs& args, double* y);

}  // namespace torchao_ops
