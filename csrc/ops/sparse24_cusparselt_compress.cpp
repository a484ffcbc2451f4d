#include "csrc/cuda/sparse24_cusparselt.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"
#include "csrc/ops/sparse24_cusparselt.h"
#include "csrc/ops/sparse24_weight.h"

namespace torchao_ops {

void check_on_cuda(const char* op, const char* argument, const Tensor& tensor) {
  if (!tensor.is_cuda()) fail(op, argument, "be on a CUDA device, which cuSPARSELt is for", device_text(tensor));
  check_has_kernels(op, argument, tensor);
}

int64_t cusparselt_packed_bytes(const char* op, const Tensor& on, sparse24::ValueType type, int64_t N, int64_t K) {
  int64_t bytes = 0;
  if (N == 0 || K == 0) return bytes;
  check_status(op, run_on_cuda(on, [&](const cuda::Context& context) {
                 return cuda::sparse24_cusparselt_packed_bytes(type, N, K, context, &bytes);
               }));
  return bytes;
}

void check_packed(const char* op, const Tensor& packed, ScalarType dtype, int64_t N, int64_t K) {
  check_dtype(op, "packed", packed, dtype);
  const sparse24::ValueType type = check_sparse24_values(op, "packed", packed);
  const int64_t size = sparse24::size_of(type);
  check_shape(op, "packed", packed, size == 1 ? "[packed bytes]" : "[packed bytes / 2]",
              {ceil_div(cusparselt_packed_bytes(op, packed, type, N, K), size)});
}

Tensor op_sparse24_cusparselt_compress(const Tensor& values, const Tensor& bitmask, int64_t in_features) {
  const char* op = "sparse24_cusparselt_compress";
  check_device(op, "bitmask", bitmask, "values", values);
  check_on_cuda(op, "values", values);
  const ScalarType dtype = values.scalar_type();
  if (dtype != ScalarType::Half && dtype != ScalarType::BFloat16 && dtype != ScalarType::Char &&
      dtype != ScalarType::Float8_e4m3fn) {
    fail(op, "values", "be float16, bfloat16, int8 or float8_e4m3fn", dtype_text(dtype));
  }
  check_at_least(op, "in_features", in_features, 0);
  const sparse24::ValueType type = check_sparse24_values(op, "values", values);
  const Sparse24Weight weight = check_sparse24_weight(op, values, type, bitmask, std::nullopt, in_features);
  const int64_t bytes = cusparselt_packed_bytes(op, values, type, weight.view.N, in_features);
  Tensor packed = torch::stable::new_empty(values, {ceil_div(bytes, sparse24::size_of(type))});
  if (bytes == 0) return packed;
  const Tensor violation = torch::stable::new_empty(values, {1}, ScalarType::Long);
  const cuda::Sparse24CusparseltCompressArgs args{weight.view, packed.mutable_data_ptr(),
                                                  static_cast<int64_t*>(violation.mutable_data_ptr())};
  int64_t workspace_bytes = 0;
  check_status(op, run_on_cuda(values, [&](const cuda::Context& context) {
                 return cuda::sparse24_cusparselt_compress_workspace_bytes(args, context, &workspace_bytes);
               }));
  check_status(op, run_on_cuda(
                       values, [&](const cuda::Device&) { return workspace_bytes; },
                       [&](const cuda::Context& context) { return cuda::sparse24_cusparselt_compress(args, context); }));
  check_violation(op, "bitmask", violation, in_features);
  return packed;
}

}  // namespace torchao_ops
