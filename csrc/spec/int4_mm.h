// int4_mm and int4_dynamic_mm: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"

namespace torchao_ops {

struct Int4MmArgs {
  MmArgs mm;
  int4::Weight weight;  // [N, K]
};

// The answer, in double precision on the exactly dequantized weight: obvious loops, the definition that kernels are tested against.
// y: double [M, N].
void int4_mm_ref(const Int4MmArgs& args, double* y);

// The same for int4_dynamic_mm: x is first quantized per row to int8, scale = max|x| / 127 in fp32,
// q = clamp(round_half_even(x / scale), -127, 127), and the product is formed from q * scale. A row that holds NaN or Inf, or
// whose scale underflows to 0, is not quantized: it gives what int4_mm gives, and so does a column of y whose weight row has a scale or
// zero point that is not finite.
void int4_dynamic_mm_ref(const Int4MmArgs& args, double* y);

}  // namespace torchao_ops
