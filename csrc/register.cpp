// Every operator's schema and, per dispatch key, the function behind it. Nothing else. The schemas are documented in docs/operators.md.
#include <torch/csrc/stable/library.h>

#include "csrc/loaded_copy.h"
#include "csrc/ops/operators.h"

using namespace torchao_ops;

STABLE_TORCH_LIBRARY_FRAGMENT(torchao, library) {
  if (another_copy_is_registered()) return;
  library.def("capabilities() -> str");
  library.def("fp8_quantize(Tensor input, ScalarType? dtype=None, str granularity=\"row\") -> (Tensor output, Tensor scale)");
  library.def("fp8_dequantize(Tensor input, Tensor scale, ScalarType? dtype=None) -> Tensor");
  library.def("fp8_mm(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias=None) -> Tensor");
  library.def("fp8_dynamic_mm(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias=None) -> Tensor");
  library.def(
      "fp8_scaled_mm(Tensor a, Tensor b, Tensor scale_a, Tensor scale_b, Tensor? bias=None, ScalarType? out_dtype=None) -> "
      "Tensor");
  library.def(
      "int4_quantize(Tensor weight, int group_size, bool symmetric=False)"
      " -> (Tensor weight_packed, Tensor weight_scale, Tensor weight_zero_point)");
  library.def(
      "int4_dequantize(Tensor weight_packed, Tensor weight_scale, Tensor? weight_zero_point, int group_size, int in_features,"
      " ScalarType? dtype=None) -> Tensor");
  library.def(
      "int4_mm(Tensor x, Tensor weight_packed, Tensor weight_scale, Tensor? weight_zero_point, int group_size, Tensor? bias=None)"
      " -> Tensor");
  library.def(
      "int4_dynamic_mm(Tensor x, Tensor weight_packed, Tensor weight_scale, Tensor? weight_zero_point, int group_size,"
      " Tensor? bias=None) -> Tensor");
  library.def("int8_quantize(Tensor weight, int group_size=0) -> (Tensor weight, Tensor weight_scale)");
  library.def("int8_dequantize(Tensor weight, Tensor weight_scale, int group_size=0, ScalarType? dtype=None) -> Tensor");
  library.def("int8_mm(Tensor x, Tensor weight, Tensor weight_scale, int group_size=0, Tensor? bias=None) -> Tensor");
  library.def("int8_dynamic_mm(Tensor x, Tensor weight, Tensor weight_scale, int group_size=0, Tensor? bias=None) -> Tensor");
  library.def("nf4_quantize(Tensor weight, int block_size=64) -> (Tensor weight_packed, Tensor absmax)");
  library.def(
      "nf4_quantize_absmax(Tensor absmax, int nested_block_size=256)"
      " -> (Tensor absmax, Tensor absmax_code, Tensor nested_absmax, Tensor absmax_offset)");
  library.def(
      "nf4_dequantize(Tensor weight_packed, Tensor absmax, int[] shape, int block_size=64, ScalarType? dtype=None,"
      " Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None, int nested_block_size=256) -> Tensor");
  library.def(
      "nf4_dequantize.out(Tensor weight_packed, Tensor absmax, int[] shape, int block_size=64, Tensor? absmax_code=None,"
      " Tensor? nested_absmax=None, Tensor? absmax_offset=None, int nested_block_size=256, *, Tensor(a!) out) -> Tensor(a!)");
  library.def(
      "nf4_mm(Tensor x, Tensor weight_packed, Tensor absmax, int out_features, int block_size=64, Tensor? bias=None,"
      " Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None, int nested_block_size=256) -> Tensor");
  library.def(
      "nf4_mm_backward(Tensor grad_output, Tensor weight_packed, Tensor absmax, int in_features, int block_size=64,"
      " Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None, int nested_block_size=256) -> Tensor");
  library.def("sparse24_prune(Tensor weight) -> Tensor");
  library.def("sparse24_compress(Tensor weight, Tensor? mask=None) -> (Tensor values, Tensor bitmask)");
  library.def("sparse24_decompress(Tensor values, Tensor bitmask, int in_features) -> Tensor");
  library.def("sparse24_mm(Tensor x, Tensor values, Tensor bitmask, Tensor? weight_scale=None, Tensor? bias=None) -> Tensor");
  library.def("sparse24_dynamic_mm(Tensor x, Tensor values, Tensor bitmask, Tensor weight_scale, Tensor? bias=None) -> Tensor");
  library.def("sparse24_cusparselt_compress(Tensor values, Tensor bitmask, int in_features) -> Tensor");
  library.def("sparse24_cusparselt_mm(Tensor x, Tensor packed, int out_features, Tensor? bias=None) -> Tensor");
  library.def(
      "sparse24_cusparselt_dynamic_mm(Tensor x, Tensor packed, Tensor values, Tensor bitmask, Tensor weight_scale,"
      " Tensor? bias=None) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(torchao, CompositeExplicitAutograd, library) {
  if (another_copy_is_registered()) return;
  library.impl("capabilities", TORCH_BOX(&op_capabilities));
}

STABLE_TORCH_LIBRARY_IMPL(torchao, CPU, library) {
  if (another_copy_is_registered()) return;
  library.impl("fp8_quantize", TORCH_BOX(&cpu::op_fp8_quantize));
  library.impl("fp8_dequantize", TORCH_BOX(&cpu::op_fp8_dequantize));
  library.impl("fp8_mm", TORCH_BOX(&cpu::op_fp8_mm));
  library.impl("fp8_dynamic_mm", TORCH_BOX(&cpu::op_fp8_dynamic_mm));
  library.impl("fp8_scaled_mm", TORCH_BOX(&cpu::op_fp8_scaled_mm));
  library.impl("int4_quantize", TORCH_BOX(&cpu::op_int4_quantize));
  library.impl("int4_dequantize", TORCH_BOX(&cpu::op_int4_dequantize));
  library.impl("int4_mm", TORCH_BOX(&cpu::op_int4_mm));
  library.impl("int4_dynamic_mm", TORCH_BOX(&cpu::op_int4_dynamic_mm));
  library.impl("int8_quantize", TORCH_BOX(&cpu::op_int8_quantize));
  library.impl("int8_dequantize", TORCH_BOX(&cpu::op_int8_dequantize));
  library.impl("int8_mm", TORCH_BOX(&cpu::op_int8_mm));
  library.impl("int8_dynamic_mm", TORCH_BOX(&cpu::op_int8_dynamic_mm));
  library.impl("nf4_quantize", TORCH_BOX(&cpu::op_nf4_quantize));
  library.impl("nf4_quantize_absmax", TORCH_BOX(&cpu::op_nf4_quantize_absmax));
  library.impl("nf4_dequantize", TORCH_BOX(&cpu::op_nf4_dequantize));
  library.impl("nf4_dequantize.out", TORCH_BOX(&cpu::op_nf4_dequantize_out));
  library.impl("nf4_mm", TORCH_BOX(&cpu::op_nf4_mm));
  library.impl("nf4_mm_backward", TORCH_BOX(&cpu::op_nf4_mm_backward));
  library.impl("sparse24_prune", TORCH_BOX(&cpu::op_sparse24_prune));
  library.impl("sparse24_compress", TORCH_BOX(&cpu::op_sparse24_compress));
  library.impl("sparse24_decompress", TORCH_BOX(&cpu::op_sparse24_decompress));
  library.impl("sparse24_mm", TORCH_BOX(&cpu::op_sparse24_mm));
  library.impl("sparse24_dynamic_mm", TORCH_BOX(&cpu::op_sparse24_dynamic_mm));
  library.impl("sparse24_cusparselt_compress", TORCH_BOX(&op_sparse24_cusparselt_compress));
  library.impl("sparse24_cusparselt_mm", TORCH_BOX(&op_sparse24_cusparselt_mm));
  library.impl("sparse24_cusparselt_dynamic_mm", TORCH_BOX(&op_sparse24_cusparselt_dynamic_mm));
}

STABLE_TORCH_LIBRARY_IMPL(torchao, CUDA, library) {
  if (another_copy_is_registered()) return;
  library.impl("fp8_quantize", TORCH_BOX(&cuda::op_fp8_quantize));
  library.impl("fp8_dequantize", TORCH_BOX(&cuda::op_fp8_dequantize));
  library.impl("fp8_mm", TORCH_BOX(&cuda::op_fp8_mm));
  library.impl("fp8_dynamic_mm", TORCH_BOX(&cuda::op_fp8_dynamic_mm));
  library.impl("fp8_scaled_mm", TORCH_BOX(&cuda::op_fp8_scaled_mm));
  library.impl("int4_quantize", TORCH_BOX(&cuda::op_int4_quantize));
  library.impl("int4_dequantize", TORCH_BOX(&cuda::op_int4_dequantize));
  library.impl("int4_mm", TORCH_BOX(&cuda::op_int4_mm));
  library.impl("int4_dynamic_mm", TORCH_BOX(&cuda::op_int4_dynamic_mm));
  library.impl("int8_quantize", TORCH_BOX(&cuda::op_int8_quantize));
  library.impl("int8_dequantize", TORCH_BOX(&cuda::op_int8_dequantize));
  library.impl("int8_mm", TORCH_BOX(&cuda::op_int8_mm));
  library.impl("int8_dynamic_mm", TORCH_BOX(&cuda::op_int8_dynamic_mm));
  library.impl("nf4_quantize", TORCH_BOX(&cuda::op_nf4_quantize));
  library.impl("nf4_quantize_absmax", TORCH_BOX(&cuda::op_nf4_quantize_absmax));
  library.impl("nf4_dequantize", TORCH_BOX(&cuda::op_nf4_dequantize));
  library.impl("nf4_dequantize.out", TORCH_BOX(&cuda::op_nf4_dequantize_out));
  library.impl("nf4_mm", TORCH_BOX(&cuda::op_nf4_mm));
  library.impl("nf4_mm_backward", TORCH_BOX(&cuda::op_nf4_mm_backward));
  library.impl("sparse24_prune", TORCH_BOX(&cuda::op_sparse24_prune));
  library.impl("sparse24_compress", TORCH_BOX(&cuda::op_sparse24_compress));
  library.impl("sparse24_decompress", TORCH_BOX(&cuda::op_sparse24_decompress));
  library.impl("sparse24_mm", TORCH_BOX(&cuda::op_sparse24_mm));
  library.impl("sparse24_dynamic_mm", TORCH_BOX(&cuda::op_sparse24_dynamic_mm));
  library.impl("sparse24_cusparselt_compress", TORCH_BOX(&op_sparse24_cusparselt_compress));
  library.impl("sparse24_cusparselt_mm", TORCH_BOX(&op_sparse24_cusparselt_mm));
  library.impl("sparse24_cusparselt_dynamic_mm", TORCH_BOX(&op_sparse24_cusparselt_dynamic_mm));
}
