#include "csrc/cpu/sparse24_decompress.h"

#include "csrc/cuda/sparse24_decompress.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_weight.h"

namespace torchao_ops {
namespace {

// Computes the weight on out's device.
using Backend = Status (*)(const Sparse24DecompressArgs& args, const Tensor& out);

Tensor decompress(Backend backend, const Tensor& values, const Tensor& bitmask, int64_t in_features) {
  const char* op = "sparse24_decompress";
  check_device(op, "bitmask", bitmask, "values", values);
  check_has_kernels(op, "values", values);
  check_at_least(op, "in_features", in_features, 0);
  const sparse24::ValueType type = check_sparse24_values(op, "values", values);
  const Sparse24Weight weight = check_sparse24_weight(op, values, type, bitmask, std::nullopt, in_features);

  Tensor out = torch::stable::new_empty(values, {weight.view.N, in_features});
  if (out.numel() == 0) return out;
  const Tensor violation = torch::stable::new_empty(values, {1}, ScalarType::Long);
  check_status(op, backend({weight.view, out.mutable_data_ptr(), static_cast<int64_t*>(violation.mutable_data_ptr())}, out));
  check_violation(op, "bitmask", violation, in_features);
  return out;
}

}  // namespace

namespace cpu {

Tensor op_sparse24_decompress(const Tensor& values, const Tensor& bitmask, int64_t in_features) {
  const Backend backend = [](const Sparse24DecompressArgs& args, const Tensor& out) {
    return sparse24_decompress(args, torch_threads(out.numel()));
  };
  return decompress(backend, values, bitmask, in_features);
}

}  // namespace cpu

namespace cuda {

Tensor op_sparse24_decompress(const Tensor& values, const Tensor& bitmask, int64_t in_features) {
  const Backend backend = [](const Sparse24DecompressArgs& args, const Tensor& out) {
    return run_on_cuda(out, [&](const Context& context) { return sparse24_decompress(args, context); });
  };
  return decompress(backend, values, bitmask, in_features);
}

}  // namespace cuda
}  // namespace torchao_ops
