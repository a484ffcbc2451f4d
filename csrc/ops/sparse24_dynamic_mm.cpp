#include "csrc/cpu/sparse24_dynamic_mm.h"

#include "csrc/cuda/sparse24_dynamic_mm.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_mm.h"

namespace torchao_ops {
namespace cpu {

Tensor op_sparse24_dynamic_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const Tensor& weight_scale,
                              const std::optional<Tensor>& bias) {
  const Sparse24MmBackend backend = [](const Sparse24MmArgs& args, const Tensor&) {
    return run_sparse24_kernel("sparse24_dynamic_mm", sparse24_dynamic_mm, args);
  };
  return multiply_sparse24("sparse24_dynamic_mm", true, backend, x, values, bitmask, weight_scale, bias);
}

}  // namespace cpu

namespace cuda {

Tensor op_sparse24_dynamic_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const Tensor& weight_scale,
                              const std::optional<Tensor>& bias) {
  const Sparse24MmBackend backend = [](const Sparse24MmArgs& args, const Tensor& on) {
    return run_on_cuda(
        on, [&](const Device& device) { return sparse24_dynamic_mm_workspace_bytes(args, device); },
        [&](const Context& context) { return sparse24_dynamic_mm(args, context); });
  };
  return multiply_sparse24("sparse24_dynamic_mm", true, backend, x, values, bitmask, weight_scale, bias);
}

}  // namespace cuda
}  // namespace torchao_ops
