// What the two operators with weights in cuSPARSELt's layout share.
#pragma once

#include "csrc/ops/check.h"

namespace torchao_ops {

// On a CUDA device, and fp16 or bf16.
void check_cusparselt_tensor(const char* op, const char* argument, const Tensor& tensor);
// Of a weight [N, K] on the device of `on`.
int64_t cusparselt_packed_bytes(const char* op, const Tensor& on, FloatType type, int64_t N, int64_t K);

}  // namespace torchao_ops
