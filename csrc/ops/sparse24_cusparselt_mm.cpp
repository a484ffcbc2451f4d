#include "csrc/cuda/sparse24_cusparselt.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/mm.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_cusparselt.h"

namespace torchao_ops {

Tensor op_sparse24_cusparselt_mm(const Tensor& x, const Tensor& packed, int64_t out_features, const std::optional<Tensor>& bias) {
  const char* op = "sparse24_cusparselt_mm";
  check_device(op, "packed", packed, "x", x);
  if (bias) check_device(op, "bias", *bias, "x", x);
  check_on_cuda(op, "x", x);
  const ScalarType dtype = x.scalar_type();
  if (dtype != ScalarType::Half && dtype != ScalarType::BFloat16) fail(op, "x", "be float16 or bfloat16", dtype_text(dtype));
  if (x.dim() == 0) fail(op, "x", "have at least 1 dimension", "a 0-dimensional tensor");
  check_at_least(op, "out_features", out_features, 0);
  const int64_t N = out_features, K = x.size(x.dim() - 1);
  check_packed(op, packed, dtype, N, K);
  check_bias(op, bias, N);

  Tensor y = empty_result(x, N);
  if (y.numel() == 0) return y;
  if (K == 0) fail(op, "x", "have at least 1 element a row", "0");
  const Activations activations = as_matrix(x, check_float(op, "x", x));
  const std::optional<Tensor> bias_row = bias ? std::optional<Tensor>(as_bias(*bias)) : std::nullopt;
  const Tensor weight = with_adjacent_elements(packed);
  const cuda::Sparse24CusparseltMmArgs args{mm_args(activations, bias_row, y), weight.const_data_ptr(), N, K};
  check_status(op, run_on_cuda(
                       x, [&](const cuda::Device& device) { return cuda::sparse24_cusparselt_mm_workspace_bytes(args, device); },
                       [&](const cuda::Context& context) { return cuda::sparse24_cusparselt_mm(args, context); }));
  return y;
}

}  // namespace torchao_ops
