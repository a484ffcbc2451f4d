// int4_dynamic_mm on the CPU: dispatch, and the kernels it chooses from. The integer part is exact on every ISA; scales and zero points
// act on it in fp32.
#pragma once

#include "csrc/spec/int4_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int4_dynamic_mm(const Int4MmArgs& args, const Parallel& parallel);

Status int4_dynamic_mm_scalar(const Int4MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
