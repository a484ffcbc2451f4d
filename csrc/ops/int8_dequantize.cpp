#include "csrc/cpu/int8_dequantize.h"

#include "csrc/cuda/int8_dequantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int8_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Computes the weight on out's device.
using Backend = Status (*)(const Int8DequantizeArgs& args, const Tensor& out);

Tensor dequantize(Backend backend, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                  std::optional<ScalarType> dtype) {
  const char* op = "int8_dequantize";
  check_device(op, "weight_scale", weight_scale, "weight", weight);
  check_has_kernels(op, "weight", weight);
  check_at_least(op, "group_size", group_size, 0);
  const Int8Weight checked = check_int8_weight(op, weight, weight_scale, group_size);
  const ScalarType out_dtype = dtype.value_or(weight_scale.scalar_type());
  const FloatType out_type = check_float(op, "dtype", out_dtype);

  Tensor out = torch::stable::new_empty(weight_scale, {checked.view.N, checked.view.K}, out_dtype);
  if (out.numel() == 0) return out;
  check_status(op, backend({checked.view, out.mutable_data_ptr(), out_type}, out));
  return out;
}

}  // namespace

namespace cpu {

Tensor op_int8_dequantize(const Tensor& weight, const Tensor& weight_scale, int64_t group_size, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Int8DequantizeArgs& args, const Tensor& out) {
    return int8_dequantize(args, torch_threads(out.numel()));
  };
  return dequantize(backend, weight, weight_scale, group_size, dtype);
}

}  // namespace cpu

namespace cuda {

Tensor op_int8_dequantize(const Tensor& weight, const Tensor& weight_scale, int64_t group_size, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Int8DequantizeArgs& args, const Tensor& out) {
    return run_on_cuda(out, [&](const Context& context) { return int8_dequantize(args, context); });
  };
  return dequantize(backend, weight, weight_scale, group_size, dtype);
}

}  // namespace cuda
}  // namespace torchao_ops
