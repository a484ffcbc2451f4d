// What the operators with weights in cuSPARSELt's layout share.
#pragma once

#include "csrc/ops/check.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops {

void check_on_cuda(const char* op, const char* argument, const Tensor& tensor);
// Of a weight [N, K] on the device of `on`.
int64_t cusparselt_packed_bytes(const char* op, const Tensor& on, sparse24::ValueType type, int64_t N, int64_t K);
// Such a weight, with values of this type.
void check_packed(const char* op, const Tensor& packed, ScalarType dtype, int64_t N, int64_t K);

}  // namespace torchao_ops
