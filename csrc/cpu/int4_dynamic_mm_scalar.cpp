#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/mm_scalar.h"

namespace torchao_ops {

Status int4_dynamic_mm_scalar(const Int4MmArgs& args, const Parallel& parallel) { return scalar_dynamic_mm(args, parallel); }

}  // namespace torchao_ops
