// fp8_mm on the CPU: dispatch, and the kernels it chooses from. All compute what spec/fp8_mm.h defines, with fp32 accumulation.
#pragma once

#include "csrc/spec/fp8_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status fp8_mm(const Fp8MmArgs& args, const Parallel& parallel);

// Any shape and any value, NaN and Inf as in the dense product. Also computes, for the other kernels, the rows and columns with values
// that they cannot treat (activations.h).
Status fp8_mm_scalar(const Fp8MmArgs& args, const Parallel& parallel);
// Columns [n_begin, n_end) of row m, in the calling thread.
void mm_scalar_row(const Fp8MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end);

// Decode: each weight row is streamed once, all rows of x against it. One group a row, or group sizes that are multiples of 32.
// Prefill: tiles of the weight are dequantized into the cache, then multiplied. Any group size.
bool supports_fp8_mm_decode(const Fp8MmArgs& args);
Status fp8_mm_decode_avx2(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_mm_prefill_avx2(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_mm_decode_avx512(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_mm_prefill_avx512(const Fp8MmArgs& args, const Parallel& parallel);

// Decode or prefill, as the dispatcher chooses: also for the products of other operators.
bool prefers_fp8_mm_decode(const Fp8MmArgs& args);
Status fp8_mm_avx2(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_mm_avx512(const Fp8MmArgs& args, const Parallel& parallel);

// For bf16 activations on a CPU with AVX512_BF16. Prefill rounds the weights to bf16, as they are in a dense bf16 product.
bool supports_fp8_mm_decode_bf16(const Fp8MmArgs& args);
bool supports_fp8_mm_prefill_bf16(const Fp8MmArgs& args);
Status fp8_mm_decode_avx512_bf16(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_mm_prefill_avx512_bf16(const Fp8MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
