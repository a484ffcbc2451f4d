#include "csrc/cpu/fp8_quantize.h"

#include "csrc/cuda/fp8_quantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/fp8_matrix.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Quantizes on the input's device.
using Backend = Status (*)(const Fp8QuantizeArgs& args, const Tensor& input);

std::tuple<Tensor, Tensor> quantize(Backend backend, const Tensor& input, std::optional<ScalarType> dtype,
                                    const std::string& granularity) {
  const char* op = "fp8_quantize";
  check_has_kernels(op, "input", input);
  const FloatType type = check_float(op, "input", input);
  check_rank(op, "input", input, "[N, K]", 2);
  const ScalarType code_dtype = dtype.value_or(ScalarType::Float8_e4m3fn);
  const Float8Type code_type = check_float8(op, "dtype", code_dtype);
  const int64_t N = input.size(0), K = input.size(1);
  const int64_t column_blocks = ceil_div(K, fp8::block);

  Fp8QuantizeArgs args{};
  std::vector<int64_t> scale_shape;
  args.row_block = args.group_size = fp8::all;
  if (granularity == "row") {
    args.row_block = 1;
    scale_shape = {N};
  } else if (granularity == "block") {
    args.row_block = args.group_size = fp8::block;
    scale_shape = {ceil_div(N, fp8::block), column_blocks};
  } else if (granularity == "group") {
    args.row_block = 1;
    args.group_size = fp8::block;
    scale_shape = {N, column_blocks};
  } else if (granularity != "tensor") {
    fail(op, "granularity", "be tensor, row, block or group", granularity);
  }

  const Tensor codes = torch::stable::new_empty(input, {N, K}, code_dtype);
  // Without elements, a scale is 0 as it is of zeros.
  if (N == 0 || K == 0) return {codes, torch::stable::new_zeros(input, scale_shape)};
  const Tensor scale = torch::stable::new_empty(input, scale_shape);
  const Tensor rows = with_adjacent_elements(input);
  args.input = rows.const_data_ptr();
  args.type = type;
  args.input_row_stride = row_stride(rows);
  args.N = N;
  args.K = K;
  args.codes = codes.mutable_data_ptr();
  args.code_type = code_type;
  args.scale = scale.mutable_data_ptr();
  check_status(op, backend(args, input));
  return {codes, scale};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor> op_fp8_quantize(const Tensor& input, std::optional<ScalarType> dtype, std::string granularity) {
  const Backend backend = [](const Fp8QuantizeArgs& args, const Tensor&) {
    return fp8_quantize(args, torch_threads(args.N * args.K));
  };
  return quantize(backend, input, dtype, granularity);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor> op_fp8_quantize(const Tensor& input, std::optional<ScalarType> dtype, std::string granularity) {
  const Backend backend = [](const Fp8QuantizeArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return fp8_quantize_workspace_bytes(args, device); },
        [&](const Context& context) { return fp8_quantize(args, context); });
  };
  return quantize(backend, input, dtype, granularity);
}

}  // namespace cuda
}  // namespace torchao_ops
