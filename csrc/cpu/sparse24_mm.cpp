#include "csrc/cpu/sparse24_mm.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status sparse24_mm(const Sparse24MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  return sparse24_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
