#include "csrc/cpu/int8_dynamic_mm.h"
#include "csrc/cpu/mm_scalar.h"

namespace torchao_ops {

Status int8_dynamic_mm_scalar(const Int8MmArgs& args, const Parallel& parallel) { return scalar_dynamic_mm(args, parallel); }

}  // namespace torchao_ops
