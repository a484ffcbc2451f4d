// int8_dequantize: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/formats.h"

namespace torchao_ops {

// out = code * scale, rounded to fp32 (exact for fp16 and bf16 scales), then to the type of out.
struct Int8DequantizeArgs {
  int8::Weight weight;
  void* out;  // [N, K] adjacent
  FloatType out_type;
};

void int8_dequantize_ref(const Int8DequantizeArgs& args);

}  // namespace torchao_ops
