// int4_quantize on the CPU.
#pragma once

#include "csrc/spec/int4_quantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int4_quantize(const Int4QuantizeArgs& args, const Parallel& parallel);

Status int4_quantize_scalar(const Int4QuantizeArgs& args, const Parallel& parallel);
Status int4_quantize_avx2(const Int4QuantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
