// sparse24_mm on the CPU: dispatch, and the kernels it chooses from. All compute what spec/sparse24_mm.h defines, with fp32 accumulation.
#pragma once

#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status sparse24_mm(const Sparse24MmArgs& args, const Parallel& parallel);

// Any shape and any value, NaN and Inf as in the dense product: it multiplies the zeros that are not stored, too. Also computes, for the other
// kernels, which skip them, the rows and columns with values that these cannot treat.
Status sparse24_mm_scalar(const Sparse24MmArgs& args, const Parallel& parallel);
// Columns [n_begin, n_end) of row m, in the calling thread.
void mm_scalar_row(const Sparse24MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end);
// Sets args.violation, if there is one.
void find_violation(const Sparse24MmArgs& args, const Parallel& parallel);

// Decode: each weight row is streamed once, all rows of x against it.
// Prefill: lists of a tile's numbers are made in the cache, then multiplied with the rows of x that they belong to.
Status sparse24_mm_decode_avx2(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_mm_prefill_avx2(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_mm_decode_avx512(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_mm_prefill_avx512(const Sparse24MmArgs& args, const Parallel& parallel);

// For bf16 activations on a CPU with AVX512_BF16. Rounds the weights to bf16, as they are in a dense bf16 product.
bool supports_sparse24_mm_prefill_bf16(const Sparse24MmArgs& args);
Status sparse24_mm_prefill_avx512_bf16(const Sparse24MmArgs& args, const Parallel& parallel);

// For bf16 activations and values that are exact in bf16, on a CPU with AVX512_VBMI2 and AVX512_BF16.
bool supports_sparse24_mm_decode_vbmi2(const Sparse24MmArgs& args);
Status sparse24_mm_decode_avx512_vbmi2(const Sparse24MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
