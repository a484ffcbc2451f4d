#include "csrc/cpu/fp8_scaled_mm.h"

#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_fp8_scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                        const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype) {
  const char* op = "fp8_scaled_mm";
  check_device(op, "b", b, "a", a);
  check_device(op, "scale_a", scale_a, "a", a);
  check_device(op, "scale_b", scale_b, "a", a);
  if (bias) check_device(op, "bias", *bias, "a", a);
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
  check_status(op, fp8_scaled_mm(args, torch_threads(M * N * left.view.K)));
  return y;
}

}  // namespace cpu
}  // namespace torchao_ops
