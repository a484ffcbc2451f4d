// int4_dequantize: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/formats.h"

namespace torchao_ops {

// out = (code - zero_point) * scale: difference and product each rounded to fp32 (exact for integer zero points and fp16 or bf16
// scales), then rounded to the type of out.
struct Int4DequantizeArgs {
  int4::Weight weight;
  void* out;  // [N, K] adjacent
  FloatType out_type;
};

void int4_dequantize_ref(const Int4DequantizeArgs& args);

}  // namespace torchao_ops
