#include "csrc/cpu/int4_dequantize.h"

#include "csrc/cuda/int4_dequantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Computes the weight on out's device.
using Backend = Status (*)(const Int4DequantizeArgs& args, const Tensor& out);

Tensor dequantize(Backend backend, const Tensor& weight_packed, const Tensor& weight_scale,
                  const std::optional<Tensor>& weight_zero_point, int64_t group_size, int64_t in_features,
                  std::optional<ScalarType> dtype) {
  const char* op = "int4_dequantize";
  check_device(op, "weight_scale", weight_scale, "weight_packed", weight_packed);
  if (weight_zero_point) check_device(op, "weight_zero_point", *weight_zero_point, "weight_packed", weight_packed);
  check_has_kernels(op, "weight_packed", weight_packed);
  check_at_least(op, "group_size", group_size, 1);
  check_at_least(op, "in_features", in_features, 0);
  const Int4Weight weight =
      check_int4_weight(op, weight_packed, weight_scale, weight_zero_point, group_size, in_features, "in_features");
  const ScalarType out_dtype = dtype.value_or(weight_scale.scalar_type());
  const FloatType out_type = check_float(op, "dtype", out_dtype);

  Tensor out = torch::stable::new_empty(weight_scale, {weight.view.N, in_features}, out_dtype);
  if (out.numel() == 0) return out;
  check_status(op, backend({weight.view, out.mutable_data_ptr(), out_type}, out));
  return out;
}

}  // namespace

namespace cpu {

Tensor op_int4_dequantize(const Tensor& weight_packed, const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point,
                          int64_t group_size, int64_t in_features, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Int4DequantizeArgs& args, const Tensor& out) {
    return int4_dequantize(args, torch_threads(out.numel()));
  };
  return dequantize(backend, weight_packed, weight_scale, weight_zero_point, group_size, in_features, dtype);
}

}  // namespace cpu

namespace cuda {

Tensor op_int4_dequantize(const Tensor& weight_packed, const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point,
                          int64_t group_size, int64_t in_features, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Int4DequantizeArgs& args, const Tensor& out) {
    return run_on_cuda(out, [&](const Context& context) { return int4_dequantize(args, context); });
  };
  return dequantize(backend, weight_packed, weight_scale, weight_zero_point, group_size, in_features, dtype);
}

}  // namespace cuda
}  // namespace torchao_ops
