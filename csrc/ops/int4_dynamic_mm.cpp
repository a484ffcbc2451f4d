#include "csrc/cpu/int4_dynamic_mm.h"

#include "csrc/ops/int4_mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_int4_dynamic_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                          const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias) {
  return multiply_int4("int4_dynamic_mm", int4_dynamic_mm, x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

}  // namespace cpu
}  // namespace torchao_ops
