// fp8_quantize on the CPU.
#pragma once

#include "csrc/spec/fp8_quantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status fp8_quantize(const Fp8QuantizeArgs& args, const Parallel& parallel);

Status fp8_quantize_scalar(const Fp8QuantizeArgs& args, const Parallel& parallel);
Status fp8_quantize_avx2(const Fp8QuantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
