#include "csrc/cpu/sparse24_compress.h"

#include "csrc/cuda/sparse24_compress.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_weight.h"

namespace torchao_ops {
namespace {

// Compresses on the weight's device.
using Backend = Status (*)(const Sparse24CompressArgs& args, const Tensor& weight);

std::tuple<Tensor, Tensor> compress(Backend backend, const Tensor& weight, const std::optional<Tensor>& mask) {
  const char* op = "sparse24_compress";
  if (mask) check_device(op, "mask", *mask, "weight", weight);
  check_has_kernels(op, "weight", weight);
  const sparse24::ValueType type = check_sparse24_values(op, "weight", weight);
  check_rank(op, "weight", weight, "[N, K]", 2);
  const int64_t N = weight.size(0), K = weight.size(1);
  if (mask) {
    check_dtype(op, "mask", *mask, ScalarType::Bool);
    check_shape(op, "mask", *mask, "[N, K]", {N, K});
  }

  const Tensor values = torch::stable::new_empty(weight, {N, sparse24::value_columns(K)});
  const Tensor bitmask = torch::stable::new_empty(weight, {N, sparse24::bitmask_columns(K)}, ScalarType::Byte);
  if (N == 0 || K == 0) return {values, bitmask};
  const Tensor violation = torch::stable::new_empty(weight, {1}, ScalarType::Long);
  const Tensor rows = with_adjacent_elements(weight);
  const std::optional<Tensor> mask_rows = mask ? std::optional<Tensor>(with_adjacent_elements(*mask)) : std::nullopt;
  Sparse24CompressArgs args{};
  args.weight = rows.const_data_ptr();
  args.type = type;
  args.weight_row_stride = row_stride(rows);
  args.mask = mask ? static_cast<const uint8_t*>(mask_rows->const_data_ptr()) : nullptr;
  args.mask_row_stride = mask ? row_stride(*mask_rows) : 0;
  args.N = N;
  args.K = K;
  args.values = values.mutable_data_ptr();
  args.bitmask = static_cast<uint8_t*>(bitmask.mutable_data_ptr());
  args.violation = static_cast<int64_t*>(violation.mutable_data_ptr());
  check_status(op, backend(args, weight));
  check_violation(op, mask ? "mask" : "weight", violation, K);
  return {values, bitmask};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor> op_sparse24_compress(const Tensor& weight, const std::optional<Tensor>& mask) {
  const Backend backend = [](const Sparse24CompressArgs& args, const Tensor&) {
    return sparse24_compress(args, torch_threads(args.N * args.K));
  };
  return compress(backend, weight, mask);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor> op_sparse24_compress(const Tensor& weight, const std::optional<Tensor>& mask) {
  const Backend backend = [](const Sparse24CompressArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return sparse24_compress(args, context); });
  };
  return compress(backend, weight, mask);
}

}  // namespace cuda
}  // namespace torchao_ops
