// int8_quantize on the CPU.
#pragma once

#include "csrc/spec/int8_quantize.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int8_quantize(const Int8QuantizeArgs& args, const Parallel& parallel);

Status int8_quantize_scalar(const Int8QuantizeArgs& args, const Parallel& parallel);
Status int8_quantize_avx2(const Int8QuantizeArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
