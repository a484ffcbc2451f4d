#include "csrc/cuda/sparse24_cusparselt.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_cusparselt.h"
#include "csrc/ops/tensors.h"

namespace torchao_ops {

Tensor op_sparse24_cusparselt_mm(const Tensor& x, const Tensor& packed, int64_t out_features,
                                 const std::optional<Tensor>& weight_scale, const std::optional<Tensor>& bias) {
  const char* op = "sparse24_cusparselt_mm";
  check_device(op, "packed", packed, "x", x);
  if (weight_scale) check_device(op, "weight_scale", *weight_scale, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_cusparselt_tensor(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  check_at_least(op, "out_features", out_features, 0);
  check_dtype(op, "packed", packed, x.scalar_type());
  const FloatType type = check_float(op, "x", x);
  const int64_t N = out_features, K = x.size(x.dim() - 1);
  check_shape(op, "packed", packed, "[packed bytes / 2]", {ceil_div(cusparselt_packed_bytes(op, x, type, N, K), size_of(type))});
  if (weight_scale) {
    check_float(op, "weight_scale", *weight_scale);
    check_shape(op, "weight_scale", *weight_scale, "[N]", {N});
  }
  if (bias) {
    check_float(op, "bias", *bias);
    check_shape(op, "bias", *bias, "[N]", {N});
  }

  Tensor y = empty_result(x, N);
  if (y.numel() == 0) return y;
  if (K == 0) fail(op, "x", "have at least 1 element a row", "0");
  const Activations activations = as_matrix(x, type);
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt,
                              scales = weight_scale ? std::optional<Tensor>(with_adjacent_elements(*weight_scale)) : std::nullopt;
  const Tensor weight = with_adjacent_elements(packed);
  cuda::Sparse24CusparseltMmArgs args{};
  args.mm = mm_args(activations, bias_row, y);
  args.packed = weight.const_data_ptr();
  args.scale = scales ? scales->const_data_ptr() : nullptr;
  args.scale_type = weight_scale ? check_float(op, "weight_scale", *weight_scale) : FloatType::f32;
  args.N = N;
  args.K = K;
  check_status(op, run_on_cuda(
                       x, [&](const cuda::Device& device) { return cuda::sparse24_cusparselt_mm_workspace_bytes(args, device); },
                       [&](const cuda::Context& context) { return cuda::sparse24_cusparselt_mm(args, context); }));
  return y;
}

}  // namespace torchao_ops
