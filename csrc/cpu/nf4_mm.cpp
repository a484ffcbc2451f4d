#include "csrc/cpu/nf4_mm.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status nf4_mm(const Nf4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  return nf4_mm_scalar(args, parallel);
}

Status nf4_mm_transposed(const Nf4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  return nf4_mm_transposed_scalar(args, parallel);
}

}  // namespace torchao_ops
