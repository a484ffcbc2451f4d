#include "csrc/cpu/sparse24_mm.h"

#include "csrc/cpu/mm_scalar.h"
#include "csrc/cpu/sparse24_violation.h"

namespace torchao_ops {

void mm_scalar_row(const Sparse24MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end) { scalar_row(args, m, n_begin, n_end); }

void find_violation(const Sparse24MmArgs& args, const Parallel& parallel) {
  if (args.violation == nullptr) return;
  const sparse24::Weight& w = args.weight;
  Smallest violation;
  for_each_piece(parallel, w.N, [&](int64_t n, int64_t) {
    const int64_t quad = first_violation(w.bitmask_row(n), w.K);
    if (quad >= 0) violation.note(n * sparse24::quads(w.K) + quad);
  });
  *args.violation = violation.or_none();
}

Status sparse24_mm_scalar(const Sparse24MmArgs& args, const Parallel& parallel) {
  find_violation(args, parallel);
  return scalar_mm(args, parallel);
}

}  // namespace torchao_ops
