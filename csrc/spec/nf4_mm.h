// nf4_mm and its transpose: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"

namespace torchao_ops {

// nf4_mm: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n].
// nf4_mm_transposed, which nf4_mm_backward is made of: y[m, k] = sum_n x[m, n] * w[n, k]. x is [M, N] and y [M, K]; there is no bias.
struct Nf4MmArgs {
  MmArgs mm;
  nf4::Weight weight;  // [N, K]
};

// The answers, in double precision on the exactly dequantized weight (absmax as fp32). y: double [M, N] and [M, K].
void nf4_mm_ref(const Nf4MmArgs& args, double* y);
void nf4_mm_transposed_ref(const Nf4MmArgs& args, double* y);

}  // namespace torchao_ops
