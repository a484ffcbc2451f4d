#include "csrc/cpu/int4_quantize.h"

#include "csrc/cuda/int4_quantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/tensors.h"

namespace torchao_ops {
namespace {

// Quantizes on the weight's device.
using Backend = Status (*)(const Int4QuantizeArgs& args, const Tensor& weight);

std::tuple<Tensor, Tensor, Tensor> quantize(Backend backend, const Tensor& weight, int64_t group_size, bool symmetric) {
  const char* op = "int4_quantize";
  check_has_kernels(op, "weight", weight);
  const FloatType type = check_float(op, "weight", weight);
  check_rank(op, "weight", weight, "[N, K]", 2);
  check_at_least(op, "group_size", group_size, 1);

  const int64_t N = weight.size(0), K = weight.size(1), G = group_count(K, group_size);
  const Tensor packed = torch::stable::new_empty(weight, {N, int4::packed_columns(K)}, ScalarType::Byte);
  const Tensor scale = torch::stable::new_empty(weight, {N, G});
  const Tensor zero_point = torch::stable::new_empty(weight, {N, G});
  if (N == 0 || K == 0) return {packed, scale, zero_point};
  const Tensor rows = with_adjacent_elements(weight);
  Int4QuantizeArgs args{};
  args.weight = rows.const_data_ptr();
  args.type = type;
  args.weight_row_stride = row_stride(rows);
  args.N = N;
  args.K = K;
  args.group_size = group_size;
  args.symmetric = symmetric;
  args.packed = static_cast<uint8_t*>(packed.mutable_data_ptr());
  args.scale = scale.mutable_data_ptr();
  args.zero_point = zero_point.mutable_data_ptr();
  check_status(op, backend(args, weight));
  return {packed, scale, zero_point};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor, Tensor> op_int4_quantize(const Tensor& weight, int64_t group_size, bool symmetric) {
  const Backend backend = [](const Int4QuantizeArgs& args, const Tensor&) {
    return int4_quantize(args, torch_threads(args.N * args.K));
  };
  return quantize(backend, weight, group_size, symmetric);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor, Tensor> op_int4_quantize(const Tensor& weight, int64_t group_size, bool symmetric) {
  const Backend backend = [](const Int4QuantizeArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return int4_quantize(args, context); });
  };
  return quantize(backend, weight, group_size, symmetric);
}

}  // namespace cuda
}  // namespace torchao_ops
