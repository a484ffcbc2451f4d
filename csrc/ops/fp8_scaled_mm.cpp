#include "csrc/cpu/fp8_scaled_mm.h"

#include "csrc/cuda/fp8_scaled_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Multiplies on a's device.
using Backend = Status (*)(const Fp8ScaledMmArgs& args, const Tensor& a);

Tensor multiply(Backend backend, const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype) {
  const char* op = "fp8_scaled_mm";
  check_device(op, "b", b, "a", a);
  check_device(op, "scale_a", scale_a, "a", a);
  check_device(op, "scale_b", scale_b, "a", a);
  if (bias) check_device(op, "bias", *bias, "a", a);
  check_has_kernels(op, "a", a);
  const Fp8Matrix left = check_fp8_matrix(op, {"a", "scale_a", "M"}, a, scale_a);
  const Fp8Matrix right = check_fp8_matrix(op, {"b", "scale_b", "N"}, b, scale_b, left.view.K);
  const int64_t M = left.view.N, N = right.view.N;
  if (bias) {
    check_float(op, "bias", *bias);
    check_shape(op, "bias", *bias, "[N]", {N});
  }
  const ScalarType y_dtype = out_dtype.value_or(ScalarType::BFloat16);
  const FloatType y_type = check_float(op, "out_dtype", y_dtype);

  Tensor y = torch::stable::new_empty(a, {M, N}, y_dtype);
  if (y.numel() == 0) return y;
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt;
  Fp8ScaledMmArgs args{};
  args.a = left.view;
  args.b = right.view;
  args.bias = bias ? bias_row->const_data_ptr() : nullptr;
  args.bias_type = bias ? check_float(op, "bias", *bias) : FloatType::f32;
  args.y = y.mutable_data_ptr();
  args.y_type = y_type;
  check_status(op, backend(args, a));
  return y;
}

}  // namespace

namespace cpu {

Tensor op_fp8_scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                        const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype) {
  const Backend backend = [](const Fp8ScaledMmArgs& args, const Tensor&) {
    return fp8_scaled_mm(args, torch_threads(args.a.N * args.b.N * args.b.K));
  };
  return multiply(backend, a, b, scale_a, scale_b, bias, out_dtype);
}

}  // namespace cpu

namespace cuda {

Tensor op_fp8_scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                        const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype) {
  const Backend backend = [](const Fp8ScaledMmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return fp8_scaled_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return fp8_scaled_mm(args, context); });
  };
  return multiply(backend, a, b, scale_a, scale_b, bias, out_dtype);
}

}  // namespace cuda
}  // namespace torchao_ops
