// nf4_dequantize on the CPU.
#pragma once

#include "csrc/spec/nf4_dequantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status nf4_dequantize(const Nf4DequantizeArgs& args, const Parallel& parallel);

Status nf4_dequantize_scalar(const Nf4DequantizeArgs& args, const Parallel& parallel);
Status nf4_dequantize_avx2(const Nf4DequantizeArgs& args, const Parallel& parallel);
Status nf4_dequantize_avx512(const Nf4DequantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
