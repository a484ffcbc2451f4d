#include "csrc/ops/sparse24_mm.h"

#include "csrc/cpu/sparse24_mm.h"
#include "csrc/cuda/sparse24_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {

Sparse24Weight check_sparse24_operands(const char* op, bool dynamic, const Tensor& x, const Tensor& values, const Tensor& bitmask,
                                       const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias) {
  check_device(op, "values", values, "x", x);
  check_device(op, "bitmask", bitmask, "x", x);
  if (weight_scale) check_device(op, "weight_scale", *weight_scale, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_has_kernels(op, "x", x);
  check_float(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  const ScalarType dtype = values.scalar_type();
  const bool has_8_bits = dtype == ScalarType::Char || dtype == ScalarType::Float8_e4m3fn;
  if (dynamic && !has_8_bits) fail(op, "values", "be int8 or float8_e4m3fn", dtype_text(dtype));
  const sparse24::ValueType type = check_sparse24_values(op, "values", values);
  if (has_8_bits && !weight_scale) fail(op, "weight_scale", "be given with " + dtype_text(dtype) + " values", "None");
  return check_sparse24_weight(op, values, type, bitmask, weight_scale, x.size(x.dim() - 1));
}

Tensor multiply_sparse24(const char* op, bool dynamic, Sparse24MmBackend backend, const Tensor& x, const Tensor& values,
                         const Tensor& bitmask, const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias) {
  const Sparse24Weight weight = check_sparse24_operands(op, dynamic, x, values, bitmask, weight_scale, bias);
  return multiply(op, backend, x, check_float(op, "x", x), weight.view, bias);
}

Status run_sparse24_kernel(const char* op, Status (*kernel)(const Sparse24MmArgs&, const Parallel&), Sparse24MmArgs args) {
  int64_t violation = -1;
  args.violation = &violation;
  // Half of the products are with zeros that the weight does not store.
  const Status status = kernel(args, torch_threads(args.mm.M * args.weight.N * ceil_div(args.weight.K, 2)));
  if (status == Status::ok) check_violation(op, "bitmask", violation, args.weight.K);
  return status;
}

namespace cpu {

Tensor op_sparse24_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const std::optional<Tensor>& weight_scale,
                      const std::optional<Tensor>& bias) {
  const Sparse24MmBackend backend = [](const Sparse24MmArgs& args, const Tensor&) {
    return run_sparse24_kernel("sparse24_mm", sparse24_mm, args);
  };
  return multiply_sparse24("sparse24_mm", false, backend, x, values, bitmask, weight_scale, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_sparse24_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const std::optional<Tensor>& weight_scale,
                      const std::optional<Tensor>& bias) {
  const Sparse24MmBackend backend = [](const Sparse24MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return sparse24_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return sparse24_mm(args, context); });
  };
  return multiply_sparse24("sparse24_mm", false, backend, x, values, bitmask, weight_scale, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
