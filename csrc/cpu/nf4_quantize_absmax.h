// nf4_quantize_absmax on the CPU.
#pragma once

#include "csrc/spec/nf4_quantize_absmax.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status nf4_quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel);

Status nf4_quantize_absmax_scalar(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel);
Status nf4_quantize_absmax_avx2(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
