// nf4_dequantize: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/formats.h"

namespace torchao_ops {

// out = value_of(code) * absmax, rounded to fp32, then to the type of out: bitsandbytes' bits.
struct Nf4DequantizeArgs {
  nf4::Weight weight;
  void* out;  // [N, K] adjacent
  FloatType out_type;
};

void nf4_dequantize_ref(const Nf4DequantizeArgs& args);

}  // namespace torchao_ops
