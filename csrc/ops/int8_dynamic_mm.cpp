#include "csrc/cpu/int8_dynamic_mm.h"

#include "csrc/cuda/int8_dynamic_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int8_mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_int8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                          const std::optional<Tensor>& bias) {
  const Int8MmBackend backend = [](const Int8MmArgs& args, const Tensor&) {
    return int8_dynamic_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_int8("int8_dynamic_mm", backend, x, weight, weight_scale, group_size, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_int8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                          const std::optional<Tensor>& bias) {
  const Int8MmBackend backend = [](const Int8MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return int8_dynamic_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return int8_dynamic_mm(args, context); });
  };
  return multiply_int8("int8_dynamic_mm", backend, x, weight, weight_scale, group_size, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
