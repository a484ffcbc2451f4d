#include "csrc/cpu/fp8_mm.h"
#include "csrc/cpu/mm_scalar.h"

namespace torchao_ops {

void mm_scalar_row(const Fp8MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end) { scalar_row(args, m, n_begin, n_end); }

Status fp8_mm_scalar(const Fp8MmArgs& args, const Parallel& parallel) { return scalar_mm(args, parallel); }

}  // namespace torchao_ops
