#include "csrc/cpu/int8_quantize.h"

#include "csrc/cuda/int8_quantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/int8_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Quantizes on the weight's device.
using Backend = Status (*)(const Int8QuantizeArgs& args, const Tensor& weight);

std::tuple<Tensor, Tensor> quantize(Backend backend, const Tensor& weight, int64_t group_size) {
  const char* op = "int8_quantize";
  check_has_kernels(op, "weight", weight);
  const FloatType type = check_float(op, "weight", weight);
  check_rank(op, "weight", weight, "[N, K]", 2);
  check_at_least(op, "group_size", group_size, 0);

  const int64_t N = weight.size(0), K = weight.size(1);
  const Tensor codes = torch::stable::new_empty(weight, {N, K}, ScalarType::Char);
  // A row without elements has a scale all the same if there is one a row: 0.
  const Tensor scale = group_size == 0 && K == 0 ? torch::stable::new_zeros(weight, {N})
                       : group_size == 0         ? torch::stable::new_empty(weight, {N})
                                                 : torch::stable::new_empty(weight, {N, group_count(K, group_size)});
  if (N == 0 || K == 0) return {codes, scale};
  const Tensor rows = with_adjacent_elements(weight);
  Int8QuantizeArgs args{};
  args.weight = rows.const_data_ptr();
  args.type = type;
  args.weight_row_stride = row_stride(rows);
  args.N = N;
  args.K = K;
  args.group_size = int8_group_size(group_size);
  args.codes = static_cast<int8_t*>(codes.mutable_data_ptr());
  args.scale = scale.mutable_data_ptr();
  check_status(op, backend(args, weight));
  return {codes, scale};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor> op_int8_quantize(const Tensor& weight, int64_t group_size) {
  const Backend backend = [](const Int8QuantizeArgs& args, const Tensor&) {
    return int8_quantize(args, torch_threads(args.N * args.K));
  };
  return quantize(backend, weight, group_size);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor> op_int8_quantize(const Tensor& weight, int64_t group_size) {
  const Backend backend = [](const Int8QuantizeArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return int8_quantize(args, context); });
  };
  return quantize(backend, weight, group_size);
}

}  // namespace cuda
}  // namespace torchao_ops
