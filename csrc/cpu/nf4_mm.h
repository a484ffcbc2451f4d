// nf4_mm and nf4_mm_transposed on the CPU: dispatch, and the kernels they choose from. All compute what spec/nf4_mm.h defines, with fp32
// accumulation; none makes more of the weight than a tile.
#pragma once

#include "csrc/spec/nf4_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status nf4_mm(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_transposed(const Nf4MmArgs& args, const Parallel& parallel);

// Any shape and any value, NaN and Inf as in the dense product. Also computes, for the other kernels, the rows and columns with values
// that they cannot treat (activations.h).
Status nf4_mm_scalar(const Nf4MmArgs& args, const Parallel& parallel);
// Columns [n_begin, n_end) of row m, in the calling thread.
void mm_scalar_row(const Nf4MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end);

// Decode: each weight row is streamed once, all rows of x against it. Rows that begin with a block, or that lie in one, at whole bytes.
// Prefill: tiles of the weight are dequantized into the cache, then multiplied. Any K and block size.
bool supports_nf4_mm_decode(const Nf4MmArgs& args);
Status nf4_mm_decode_avx2(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_prefill_avx2(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_decode_avx512(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_prefill_avx512(const Nf4MmArgs& args, const Parallel& parallel);

// For bf16 activations on a CPU with AVX512_BF16. Rounds the weights to bf16, as they are in a dense bf16 product.
bool supports_nf4_mm_prefill_bf16(const Nf4MmArgs& args);
Status nf4_mm_prefill_avx512_bf16(const Nf4MmArgs& args, const Parallel& parallel);

Status nf4_mm_transposed_scalar(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_transposed_avx2(const Nf4MmArgs& args, const Parallel& parallel);
Status nf4_mm_transposed_avx512(const Nf4MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
