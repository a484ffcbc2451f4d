#include "csrc/ops/fp8_matrix.h"

namespace torchao_ops {

Float8Type check_float8(const char* op, const char* argument, ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float8_e4m3fn: return Float8Type::e4m3fn;
    case ScalarType::Float8_e5m2: return Float8Type::e5m2;
    default: fail(op, argument, "be float8_e4m3fn or float8_e5m2", dtype_text(dtype));
  }
}

Fp8Matrix check_fp8_matrix(const char* op, const Fp8Names& names, const Tensor& codes, const Tensor& scale, int64_t K) {
  const Float8Type type = check_float8(op, names.codes, codes.scalar_type());
  const std::string rows = names.rows, layout = "[" + rows + ", K]";
  check_rank(op, names.codes, codes, layout.c_str(), 2);
  const int64_t N = codes.size(0);
  if (K < 0) K = codes.size(1);
  check_shape(op, names.codes, codes, layout.c_str(), {N, K});
  const FloatType scale_type = check_float(op, names.scale, scale);

  Fp8Matrix matrix{as_weight(codes), scale, {}};
  fp8::Weight& view = matrix.view;
  view.codes = matrix.codes.const_data_ptr();
  view.type = type;
  view.row_stride = row_stride(matrix.codes);
  view.scale = scale.const_data_ptr();
  view.scale_type = scale_type;
  view.N = N;
  view.K = K;
  const int64_t row_blocks = ceil_div(N, fp8::block), column_blocks = ceil_div(K, fp8::block);
  if (scale.dim() == 0) {
    view.row_block = view.group_size = fp8::all;
  } else if (scale.sizes().equals({N})) {
    view.row_block = 1;
    view.group_size = fp8::all;
    view.scale_row_stride = scale.stride(0);
  } else if (scale.sizes().equals({row_blocks, column_blocks}) || scale.sizes().equals({N, column_blocks})) {
    view.row_block = scale.size(0) == N ? 1 : fp8::block;  // a single row is both
    view.group_size = fp8::block;
    view.scale_row_stride = scale.stride(0);
    view.scale_column_stride = scale.stride(1);
  } else {
    fail(op, names.scale,
         "be [], [" + rows + "], [ceil(" + rows + " / 128), ceil(K / 128)] or [" + rows + ", ceil(K / 128)] = [], " +
             shape_text({N}) + ", " + shape_text({row_blocks, column_blocks}) + " or " + shape_text({N, column_blocks}),
         shape_text(scale));
  }
  return matrix;
}

}  // namespace torchao_ops
