#include "csrc/cuda/sparse24_cusparselt.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_cusparselt.h"
#include "csrc/ops/sparse24_mm.h"

namespace torchao_ops {

Tensor op_sparse24_cusparselt_dynamic_mm(const Tensor& x, const Tensor& packed, const Tensor& values, const Tensor& bitmask,
                                         const Tensor& weight_scale, const std::optional<Tensor>& bias) {
  const char* op = "sparse24_cusparselt_dynamic_mm";
  check_device(op, "packed", packed, "x", x);
  const Sparse24Weight weight = check_sparse24_operands(op, true, x, values, bitmask, weight_scale, bias);
  check_on_cuda(op, "x", x);
  const int64_t N = weight.view.N, K = weight.view.K;
  check_packed(op, packed, values.scalar_type(), N, K);
  check_bias(op, bias, N);
  if (K == 0) return cuda::op_sparse24_dynamic_mm(x, values, bitmask, weight_scale, bias);

  Tensor y = empty_result(x, N);
  if (y.numel() == 0) return y;
  const Activations activations = as_matrix(x, check_float(op, "x", x));
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt;
  const Tensor packed_weight = with_adjacent_elements(packed);
  const cuda::Sparse24CusparseltDynamicMmArgs args{{mm_args(activations, bias_row, y), weight.view, nullptr},
                                                   packed_weight.const_data_ptr()};
  check_status(
      op, run_on_cuda(
              x, [&](const cuda::Device& device) { return cuda::sparse24_cusparselt_dynamic_mm_workspace_bytes(args, device); },
              [&](const cuda::Context& context) { return cuda::sparse24_cusparselt_dynamic_mm(args, context); }));
  return y;
}

}  // namespace torchao_ops
