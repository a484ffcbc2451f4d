#include "csrc/ops/int8_mm.h"

#include "csrc/cpu/int8_mm.h"
#include "csrc/cuda/int8_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int8_weight.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {

Tensor multiply_int8(const char* op, Int8MmBackend backend, const Tensor& x, const Tensor& weight, const Tensor& weight_scale,
                     int64_t group_size, const std::optional<Tensor>& bias) {
  check_device(op, "weight", weight, "x", x);
  check_device(op, "weight_scale", weight_scale, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_has_kernels(op, "x", x);
  const FloatType x_type = check_float(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  check_at_least(op, "group_size", group_size, 0);
  const Int8Weight checked = check_int8_weight(op, weight, weight_scale, group_size, x.size(x.dim() - 1));
  return multiply(op, backend, x, x_type, checked.view, bias);
}

namespace cpu {

Tensor op_int8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                  const std::optional<Tensor>& bias) {
  const Int8MmBackend backend = [](const Int8MmArgs& args, const Tensor&) {
    return int8_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_int8("int8_mm", backend, x, weight, weight_scale, group_size, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_int8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                  const std::optional<Tensor>& bias) {
  const Int8MmBackend backend = [](const Int8MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return int8_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return int8_mm(args, context); });
  };
  return multiply_int8("int8_mm", backend, x, weight, weight_scale, group_size, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
