// sparse24_mm and sparse24_dynamic_mm: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/mm.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops {

struct Sparse24MmArgs {
  MmArgs mm;
  sparse24::Weight weight;  // [N, K]
  // [1], or null. The first quad, n * ceil(K / 4) + quad, that keeps more than two, and -1 if there is none. If there is one, column n of y is
  // NaN.
  int64_t* violation;
};

// The answer, in double precision on the exact weight, its zeros included: obvious loops, the definition that kernels are tested against. So a
// row of x with Inf or NaN gives what it gives in the dense product: 0 * Inf is NaN although the weight stores no such zero. y: double [M, N].
void sparse24_mm_ref(const Sparse24MmArgs& args, double* y);

// The same for sparse24_dynamic_mm: x is first quantized per row to the values' type.
//   int8:    as int8_dynamic_mm quantizes it, and kernels owe the same bits: y = (float(sum of q * value) * weight scale) * x scale + bias, each step
//            rounded to fp32, the sum an exact integer as long as K <= sparse24_exact_k.
//   e4m3fn:  scale = max|x| / 448 in fp32, q = x / scale rounded to e4m3fn, and the product is formed from q * scale. Sums are fp32; then, as
//            above, weight scale, x scale and bias.
// A row that holds NaN or Inf, or whose scale underflows to 0, is not quantized: it gives what sparse24_mm gives, and so does a column of y
// whose weight row has a scale that is not finite.
void sparse24_dynamic_mm_ref(const Sparse24MmArgs& args, double* y);
constexpr int64_t sparse24_exact_k = int64_t{1} << 18;
static_assert(sparse24_exact_k / 2 * 128 * 127 < int64_t{1} << 31, "the sum of the half that is kept fits int32");

}  // namespace torchao_ops
