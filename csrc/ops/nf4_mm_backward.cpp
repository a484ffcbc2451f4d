#include "csrc/cpu/nf4_mm.h"
#include "csrc/cuda/nf4_mm_transposed.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/nf4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Computes the product on grad_output's device.
using Backend = Status (*)(const Nf4MmArgs& args, const Tensor& grad_output);

Tensor multiply_transposed(Backend backend, const Tensor& grad_output, const Nf4Arguments& arguments, int64_t in_features) {
  const char* op = "nf4_mm_backward";
  check_nf4_devices(op, arguments, "grad_output", grad_output);
  check_has_kernels(op, "grad_output", grad_output);
  const FloatType type = check_float(op, "grad_output", grad_output);
  if (grad_output.dim() == 0) fail(op, "grad_output", "have at least 1 dimension", "a 0-dimensional tensor");
  const int64_t N = grad_output.size(grad_output.dim() - 1);
  check_features(op, "in_features", in_features, N);
  const Nf4Weight weight = check_nf4_weight(op, arguments, N, in_features, "N * in_features");
  return run_product(op, backend, grad_output, type, weight.view, in_features, std::nullopt);
}

}  // namespace

namespace cpu {

Tensor op_nf4_mm_backward(const Tensor& grad_output, const Tensor& weight_packed, const Tensor& absmax, int64_t in_features,
                          int64_t block_size, const std::optional<Tensor>& absmax_code,
                          const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                          int64_t nested_block_size) {
  const Backend backend = [](const Nf4MmArgs& args, const Tensor&) {
    return nf4_mm_transposed(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_transposed(backend, grad_output,
                             {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                             in_features);
}

}  // namespace cpu

namespace cuda {

Tensor op_nf4_mm_backward(const Tensor& grad_output, const Tensor& weight_packed, const Tensor& absmax, int64_t in_features,
                          int64_t block_size, const std::optional<Tensor>& absmax_code,
                          const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                          int64_t nested_block_size) {
  const Backend backend = [](const Nf4MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return nf4_mm_transposed_workspace_bytes(args, device); },
        [&](const Context& context) { return nf4_mm_transposed(args, context); });
  };
  return multiply_transposed(backend, grad_output,
                             {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                             in_features);
}

}  // namespace cuda
}  // namespace torchao_ops
