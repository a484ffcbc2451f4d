#include "csrc/cpu/int4_dynamic_mm.h"

#include "csrc/cuda/int4_dynamic_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int4_mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_int4_dynamic_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                          const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias) {
  const Int4MmBackend backend = [](const Int4MmArgs& args, const Tensor&) {
    return int4_dynamic_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_int4("int4_dynamic_mm", backend, x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_int4_dynamic_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                          const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias) {
  const Int4MmBackend backend = [](const Int4MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return int4_dynamic_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return int4_dynamic_mm(args, context); });
  };
  return multiply_int4("int4_dynamic_mm", backend, x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
