// nf4_quantize on the CPU.
#pragma once

#include "csrc/spec/nf4_quantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status nf4_quantize(const Nf4QuantizeArgs& args, const Parallel& parallel);

Status nf4_quantize_scalar(const Nf4QuantizeArgs& args, const Parallel& parallel);
Status nf4_quantize_avx2(const Nf4QuantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
