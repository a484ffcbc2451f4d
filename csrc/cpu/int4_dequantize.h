// int4_dequantize on the CPU.
#pragma once

#include "csrc/spec/int4_dequantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int4_dequantize(const Int4DequantizeArgs& args, const Parallel& parallel);

Status int4_dequantize_scalar(const Int4DequantizeArgs& args, const Parallel& parallel);
Status int4_dequantize_avx2(const Int4DequantizeArgs& args, const Parallel& parallel);
Status int4_dequantize_avx512(const Int4DequantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
