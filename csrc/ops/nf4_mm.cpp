#include "csrc/cpu/nf4_mm.h"

#include "csrc/cuda/nf4_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/nf4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Computes the product on x's device.
using Backend = Status (*)(const Nf4MmArgs& args, const Tensor& x);

Tensor multiply_nf4(Backend backend, const Tensor& x, const Nf4Arguments& arguments, int64_t out_features,
                    const std::optional<Tensor>& bias) {
  const char* op = "nf4_mm";
  check_nf4_devices(op, arguments, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_has_kernels(op, "x", x);
  const FloatType x_type = check_float(op, "x", x);
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  const int64_t K = x.size(x.dim() - 1);
  check_features(op, "out_features", out_features, K);
  const Nf4Weight weight = check_nf4_weight(op, arguments, out_features, K, "out_features * K");
  return multiply(op, backend, x, x_type, weight.view, bias);
}

}  // namespace

namespace cpu {

Tensor op_nf4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& absmax, int64_t out_features, int64_t block_size,
                 const std::optional<Tensor>& bias, const std::optional<Tensor>& absmax_code,
                 const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                 int64_t nested_block_size) {
  const Backend backend = [](const Nf4MmArgs& args, const Tensor&) {
    return nf4_mm(args, torch_threads(args.mm.M * args.weight.N * args.weight.K));
  };
  return multiply_nf4(backend, x,
                      {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                      out_features, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_nf4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& absmax, int64_t out_features, int64_t block_size,
                 const std::optional<Tensor>& bias, const std::optional<Tensor>& absmax_code,
                 const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                 int64_t nested_block_size) {
  const Backend backend = [](const Nf4MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return nf4_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return nf4_mm(args, context); });
  };
  return multiply_nf4(backend, x,
                      {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                      out_features, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
