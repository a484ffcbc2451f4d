// sparse24_dynamic_mm on the CPU: dispatch, and the kernels it chooses from.
#pragma once

#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_mm.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status sparse24_dynamic_mm(const Sparse24MmArgs& args, const Parallel& parallel);

// Any shape and any value.
Status sparse24_dynamic_mm_scalar(const Sparse24MmArgs& args, const Parallel& parallel);

// As those of sparse24_mm, for x rounded to the values' type. Of int8, K <= sparse24_exact_k.
bool supports_sparse24_dynamic_mm(const Sparse24MmArgs& args);
Status sparse24_dynamic_mm_decode_avx2(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_dynamic_mm_prefill_avx2(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_dynamic_mm_decode_avx512(const Sparse24MmArgs& args, const Parallel& parallel);
Status sparse24_dynamic_mm_prefill_avx512(const Sparse24MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
