#include "csrc/ops/int4_weight.h"

namespace torchao_ops {

Int4Weight check_int4_weight(const char* op, const Tensor& packed, const Tensor& scale, const std::optional<Tensor>& zero_point,
                             int64_t group_size, int64_t K, const char* K_name) {
  const std::string packed_layout = std::string("[N, ceil(") + K_name + " / 2)]";
  const std::string group_layout = std::string("[N, ceil(") + K_name + " / group_size)]";
  check_dtype(op, "weight_packed", packed, ScalarType::Byte);
  check_rank(op, "weight_packed", packed, packed_layout.c_str(), 2);
  const int64_t N = packed.size(0), G = group_count(K, group_size);
  check_shape(op, "weight_packed", packed, packed_layout.c_str(), {N, int4::packed_columns(K)});
  const FloatType scale_type = check_float(op, "weight_scale", scale);
  check_shape(op, "weight_scale", scale, group_layout.c_str(), {N, G});
  FloatType zero_point_type = FloatType::f32;
  if (zero_point) {
    zero_point_type = check_float(op, "weight_zero_point", *zero_point);
    check_shape(op, "weight_zero_point", *zero_point, group_layout.c_str(), {N, G});
  }

  Int4Weight weight{as_weight(packed), with_adjacent_elements(scale), std::nullopt, {}};
  if (zero_point) weight.zero_point = with_adjacent_elements(*zero_point);
  weight.view.packed = static_cast<const uint8_t*>(weight.packed.const_data_ptr());
  weight.view.packed_row_stride = row_stride(weight.packed);
  weight.view.scale = weight.scale.const_data_ptr();
  weight.view.scale_type = scale_type;
  weight.view.scale_row_stride = row_stride(weight.scale);
  weight.view.zero_point = zero_point ? weight.zero_point->const_data_ptr() : nullptr;
  weight.view.zero_point_type = zero_point_type;
  weight.view.zero_point_row_stride = zero_point ? row_stride(*weight.zero_point) : 0;
  weight.view.N = N;
  weight.view.K = K;
  weight.view.group_size = group_size;
  return weight;
}

}  // namespace torchao_ops
