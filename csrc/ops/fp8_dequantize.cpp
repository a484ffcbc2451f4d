#include "csrc/cpu/fp8_dequantize.h"

#include "csrc/cuda/fp8_dequantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Computes the matrix on out's device.
using Backend = Status (*)(const Fp8DequantizeArgs& args, const Tensor& out);

Tensor dequantize(Backend backend, const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype) {
  const char* op = "fp8_dequantize";
  check_device(op, "scale", scale, "input", input);
  check_has_kernels(op, "input", input);
  const Fp8Matrix checked = check_fp8_matrix(op, {"input", "scale", "N"}, input, scale);
  const ScalarType out_dtype = dtype.value_or(scale.scalar_type());
  const FloatType out_type = check_float(op, "dtype", out_dtype);

  Tensor out = torch::stable::new_empty(scale, {checked.view.N, checked.view.K}, out_dtype);
  if (out.numel() == 0) return out;
  check_status(op, backend({checked.view, out.mutable_data_ptr(), out_type}, out));
  return out;
}

}  // namespace

namespace cpu {

Tensor op_fp8_dequantize(const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Fp8DequantizeArgs& args, const Tensor& out) {
    return fp8_dequantize(args, torch_threads(out.numel()));
  };
  return dequantize(backend, input, scale, dtype);
}

}  // namespace cpu

namespace cuda {

Tensor op_fp8_dequantize(const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype) {
  const Backend backend = [](const Fp8DequantizeArgs& args, const Tensor& out) {
    return run_on_cuda(out, [&](const Context& context) { return fp8_dequantize(args, context); });
  };
  return dequantize(backend, input, scale, dtype);
}

}  // namespace cuda
}  // namespace torchao_ops
