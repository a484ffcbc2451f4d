// fp8_dequantize: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/fp8.h"

namespace torchao_ops {

// out = number * scale, rounded to fp32 (exact for fp16 and bf16 scales), then to the type of out.
struct Fp8DequantizeArgs {
  fp8::Weight weight;
  void* out;  // [N, K] adjacent
  FloatType out_type;
};

void fp8_dequantize_ref(const Fp8DequantizeArgs& args);

}  // namespace torchao_ops
