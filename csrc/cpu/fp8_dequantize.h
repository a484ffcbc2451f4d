// fp8_dequantize on the CPU.
#pragma once

#include "csrc/spec/fp8_dequantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status fp8_dequantize(const Fp8DequantizeArgs& args, const Parallel& parallel);

Status fp8_dequantize_scalar(const Fp8DequantizeArgs& args, const Parallel& parallel);
Status fp8_dequantize_avx2(const Fp8DequantizeArgs& args, const Parallel& parallel);
Status fp8_dequantize_avx512(const Fp8DequantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
