#include "csrc/cpu/int4_dynamic_mm.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status int4_dynamic_mm(const Int4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  return int4_dynamic_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
