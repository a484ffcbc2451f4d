// int8_mm and int8_dynamic_mm: y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"

namespace torchao_ops {

struct Int8MmArgs {
  MmArgs mm;
  int8::Weight weight;  // [N, K]
};

// The answer, in double precision on the exactly dequantized weight: obvious loops, the definition that kernels are tested against.
// y: double [M, N].
void int8_mm_ref(const Int8MmArgs& args, double* y);

// The same for int8_dynamic_mm: x is first quantized per row to int8, scale = max|x| / 127 in fp32,
// q = clamp(round_half_even(x / scale), -127, 127), and the product is formed from q * scale. A row that holds NaN or Inf, or
// whose scale underflows to 0, is not quantized: it gives what int8_mm gives, and so does a column of y whose weight row has a scale that is
// not finite.
//
// With one group a row, kernels owe more than nearness: y = (float(sum of q * code) * weight scale) * x scale + bias, each step rounded to fp32,
// the sum an exact integer as long as K <= int8_exact_k. So all instruction sets and all M give the same bits.
void int8_dynamic_mm_ref(const Int8MmArgs& args, double* y);
constexpr int64_t int8_exact_k = int64_t{1} << 17;
static_assert(int8_exact_k * 128 * 127 < int64_t{1} << 31, "the sum fits int32");

}  // namespace torchao_ops
