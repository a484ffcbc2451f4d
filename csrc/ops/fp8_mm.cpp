#include "csrc/ops/fp8_mm.h"

#include "csrc/cpu/fp8_mm.h"
#include "csrc/cuda/fp8_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {

Tensor multiply_fp8(const char* op, Fp8MmBackend backend, const Tensor& x, const Tensor& weight, const Tensor& weight_scale,
                    const std::optional<Tensor>& bias) {
  check_device(op, "weight", weight, "x", x);
  check_device(op, "weight_scale", weight_scale, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_has_kernels(op, "x", x);
  const FloatType x_type = check_float(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  const Fp8Matrix checked = check_fp8_matrix(op, fp8_weight_names, weight, weight_scale, x.size(x.dim() - 1));
  return multiply(op, backend, x, x_type, checked.view, bias);
}

namespace cpu {

Tensor op_fp8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias) {
  const Fp8MmBackend backend = [](const Fp8MmArgs& args, const Tensor&) {
    return fp8_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_fp8("fp8_mm", backend, x, weight, weight_scale, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_fp8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias) {
  const Fp8MmBackend backend = [](const Fp8MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return fp8_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return fp8_mm(args, context); });
  };
  return multiply_fp8("fp8_mm", backend, x, weight, weight_scale, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
