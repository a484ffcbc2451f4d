#include "csrc/cpu/sparse24_prune.h"

#include "csrc/cuda/sparse24_prune.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_weight.h"

namespace torchao_ops {
namespace {

// Prunes on the weight's device.
using Backend = Status (*)(const Sparse24PruneArgs& args, const Tensor& weight);

Tensor prune(Backend backend, const Tensor& weight) {
  const char* op = "sparse24_prune";
  check_has_kernels(op, "weight", weight);
  const sparse24::ValueType type = check_sparse24_values(op, "weight", weight);
  check_rank(op, "weight", weight, "[N, K]", 2);

  Tensor mask = torch::stable::new_empty(weight, {weight.size(0), weight.size(1)}, ScalarType::Bool);
  if (mask.numel() == 0) return mask;
  const Tensor rows = with_adjacent_elements(weight);
  Sparse24PruneArgs args{};
  args.weight = rows.const_data_ptr();
  args.type = type;
  args.weight_row_stride = row_stride(rows);
  args.N = weight.size(0);
  args.K = weight.size(1);
  args.mask = static_cast<uint8_t*>(mask.mutable_data_ptr());
  check_status(op, backend(args, weight));
  return mask;
}

}  // namespace

namespace cpu {

Tensor op_sparse24_prune(const Tensor& weight) {
  const Backend backend = [](const Sparse24PruneArgs& args, const Tensor&) {
    return sparse24_prune(args, torch_threads(args.N * args.K));
  };
  return prune(backend, weight);
}

}  // namespace cpu

namespace cuda {

Tensor op_sparse24_prune(const Tensor& weight) {
  const Backend backend = [](const Sparse24PruneArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return sparse24_prune(args, context); });
  };
  return prune(backend, weight);
}

}  // namespace cuda
}  // namespace torchao_ops
