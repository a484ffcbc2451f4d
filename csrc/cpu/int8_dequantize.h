// int8_dequantize on the CPU.
#pragma once

#include "csrc/spec/int8_dequantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int8_dequantize(const Int8DequantizeArgs& args, const Parallel& parallel);

Status int8_dequantize_scalar(const Int8DequantizeArgs& args, const Parallel& parallel);
Status int8_dequantize_avx2(const Int8DequantizeArgs& args, const Parallel& parallel);
Status int8_dequantize_avx512(const Int8DequantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
