#include "csrc/ops/int8_weight.h"

namespace torchao_ops {

int64_t int8_group_size(int64_t group_size) { return group_size == 0 ? INT64_MAX : group_size; }

Int8Weight check_int8_weight(const char* op, const Tensor& codes, const Tensor& scale, int64_t group_size, int64_t K) {
  check_dtype(op, "weight", codes, ScalarType::Char);
  check_rank(op, "weight", codes, "[N, K]", 2);
  const int64_t N = codes.size(0);
  if (K < 0) K = codes.size(1);
  check_shape(op, "weight", codes, "[N, K]", {N, K});
  const FloatType scale_type = check_float(op, "weight_scale", scale);
  if (group_size == 0) {
    check_shape(op, "weight_scale", scale, "[N]", {N});
  } else {
    check_shape(op, "weight_scale", scale, "[N, ceil(K / group_size)]", {N, group_count(K, group_size)});
  }

  // A row of [N] scales is one element: no stride is too much for it.
  Int8Weight weight{as_weight(codes), group_size == 0 ? scale : with_adjacent_elements(scale), {}};
  weight.view.codes = static_cast<const int8_t*>(weight.codes.const_data_ptr());
  weight.view.row_stride = row_stride(weight.codes);
  weight.view.scale = weight.scale.const_data_ptr();
  weight.view.scale_type = scale_type;
  weight.view.scale_row_stride = row_stride(weight.scale);
  weight.view.N = N;
  weight.view.K = K;
  weight.view.group_size = int8_group_size(group_size);
  return weight;
}

}  // namespace torchao_ops
