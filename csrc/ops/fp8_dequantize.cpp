#include "csrc/cpu/fp8_dequantize.h"

#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace cpu {

Tensor op_fp8_dequantize(const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype) {
  const char* op = "fp8_dequantize";
  check_device(op, "scale", scale, "input", input);
  const Fp8Matrix checked = check_fp8_matrix(op, {"input", "scale", "N"}, input, scale);
  const ScalarType out_dtype = dtype.value_or(scale.scalar_type());
  const FloatType out_type = check_float(op, "dtype", out_dtype);

  Tensor out = torch::stable::new_empty(scale, {checked.view.N, checked.view.K}, out_dtype);
  if (out.numel() == 0) return out;
  check_status(op, fp8_dequantize({checked.view, out.mutable_data_ptr(), out_type}, torch_threads(out.numel())));
  return out;
}

}  // namespace cpu
}  // namespace torchao_ops
