#include "csrc/ops/sparse24_weight.h"

#include <algorithm>

namespace torchao_ops {

sparse24::ValueType check_sparse24_values(const char* op, const char* argument, const Tensor& values) {
  switch (values.scalar_type()) {
    case ScalarType::Float: return sparse24::ValueType::f32;
    case ScalarType::Half: return sparse24::ValueType::f16;
    case ScalarType::BFloat16: return sparse24::ValueType::bf16;
    case ScalarType::Char: return sparse24::ValueType::int8;
    case ScalarType::Float8_e4m3fn: return sparse24::ValueType::e4m3fn;
    default: fail(op, argument, "be float32, float16, bfloat16, int8 or float8_e4m3fn", dtype_text(values.scalar_type()));
  }
}

Sparse24Weight check_sparse24_weight(const char* op, const Tensor& values, sparse24::ValueType type, const Tensor& bitmask,
                                     const std::optional<Tensor>& scale, int64_t K) {
  check_rank(op, "values", values, "[N, 2 * ceil(K / 4)]", 2);
  const int64_t N = values.size(0);
  check_shape(op, "values", values, "[N, 2 * ceil(K / 4)]", {N, sparse24::value_columns(K)});
  check_dtype(op, "bitmask", bitmask, ScalarType::Byte);
  check_shape(op, "bitmask", bitmask, "[N, ceil(K / 8)]", {N, sparse24::bitmask_columns(K)});
  if (scale) {
    check_float(op, "weight_scale", *scale);
    check_shape(op, "weight_scale", *scale, "[N]", {N});
  }

  Sparse24Weight weight{as_weight(values), as_weight(bitmask), std::nullopt, {}};
  if (scale) weight.scale = with_adjacent_elements(*scale);
  weight.view.values = weight.values.const_data_ptr();
  weight.view.value_type = type;
  weight.view.value_row_stride = row_stride(weight.values);
  weight.view.bitmask = static_cast<const uint8_t*>(weight.bitmask.const_data_ptr());
  weight.view.bitmask_row_stride = row_stride(weight.bitmask);
  weight.view.scale = scale ? weight.scale->const_data_ptr() : nullptr;
  weight.view.scale_type = scale ? check_float("", "", *scale) : FloatType::f32;
  weight.view.N = N;
  weight.view.K = K;
  return weight;
}

void check_violation(const char* op, const char* argument, int64_t violation, int64_t K) {
  if (violation < 0) return;
  const int64_t row = violation / sparse24::quads(K), begin = violation % sparse24::quads(K) * 4;
  fail_but(op, argument, "keep at most two of each four elements of a row",
           "row " + std::to_string(row) + " keeps more of the elements " + std::to_string(begin) + " to " +
               std::to_string(std::min(begin + 4, K) - 1));
}

void check_violation(const char* op, const char* argument, const Tensor& violation, int64_t K) {
  const Tensor here = torch::stable::to(violation, torch::stable::Device(torch::headeronly::DeviceType::CPU));
  check_violation(op, argument, *static_cast<const int64_t*>(here.const_data_ptr()), K);
}

}  // namespace torchao_ops
