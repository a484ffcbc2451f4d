#include "csrc/cpu/fp8_dynamic_mm.h"

#include "csrc/cuda/fp8_dynamic_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/fp8_mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_fp8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias) {
  const Fp8MmBackend backend = [](const Fp8MmArgs& args, const Tensor&) {
    return fp8_dynamic_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_fp8("fp8_dynamic_mm", backend, x, weight, weight_scale, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_fp8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias) {
  const Fp8MmBackend backend = [](const Fp8MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return fp8_dynamic_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return fp8_dynamic_mm(args, context); });
  };
  return multiply_fp8("fp8_dynamic_mm", backend, x, weight, weight_scale, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
