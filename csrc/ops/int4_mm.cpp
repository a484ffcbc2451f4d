#include "csrc/ops/int4_mm.h"

#include "csrc/cpu/int4_mm.h"
#include "csrc/cuda/int4_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int4_weight.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {

Tensor multiply_int4(const char* op, Int4MmBackend backend, const Tensor& x, const Tensor& weight_packed,
                     const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point, int64_t group_size,
                     const std::optional<Tensor>& bias) {
  check_device(op, "weight_packed", weight_packed, "x", x);
  check_device(op, "weight_scale", weight_scale, "x", x);
  if (weight_zero_point) check_device(op, "weight_zero_point", *weight_zero_point, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_has_kernels(op, "x", x);
  const FloatType x_type = check_float(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  check_at_least(op, "group_size", group_size, 1);
  const int64_t K = x.size(x.dim() - 1);
  const Int4Weight weight = check_int4_weight(op, weight_packed, weight_scale, weight_zero_point, group_size, K, "K");
  return multiply(op, backend, x, x_type, weight.view, bias);
}

namespace cpu {

Tensor op_int4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                  const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias) {
  const Int4MmBackend backend = [](const Int4MmArgs& args, const Tensor&) {
    return int4_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_int4("int4_mm", backend, x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_int4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                  const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias) {
  const Int4MmBackend backend = [](const Int4MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return int4_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return int4_mm(args, context); });
  };
  return multiply_int4("int4_mm", backend, x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
