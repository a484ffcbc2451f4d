#include "csrc/cuda/fp8_dynamic_mm_prefill.h"

#include "csrc/cuda/fp8_product.h"
#include "csrc/cuda/quantize_activations.h"

namespace torchao_ops::cuda {
namespace {

// With x as it will lie at the beginning of the workspace.
Fp8Product product_of(const Fp8MmArgs& args, void* workspace) {
  const MmArgs& mm = args.mm;
  const int64_t K = args.weight.K;
  const QuantizedX x(mm.M, K, workspace);
  const fp8::Weight a{x.q, args.weight.type, x.row_bytes, x.scale, FloatType::f32, 1, 0, mm.M, K, 1, fp8::all};
  return {{a, args.weight, mm.bias, mm.bias_type, mm.y, mm.x_type}, mm.x, mm.x_type, mm.x_row_stride};
}

}  // namespace

bool supports_fp8_dynamic_mm_prefill(const Fp8MmArgs& args, const Device& device) {
  return args.weight.K > 0 && multiplies_numbers(product_of(args, nullptr).args, device);
}

int64_t fp8_dynamic_mm_prefill_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  return QuantizedX::bytes(args.mm.M, args.weight.K) + fp8_product_workspace_bytes(product_of(args, nullptr), device);
}

Status fp8_dynamic_mm_prefill(const Fp8MmArgs& args, const Context& context) {
  const QuantizedX x(args.mm.M, args.weight.K, context.workspace);
  const Status status = round_activations_to_codes(args.mm, args.weight.K, args.weight.type, x, context);
  if (status != Status::ok) return status;
  Context rest = context;
  rest.workspace = x.rest;
  return fp8_product(product_of(args, context.workspace), rest);
}

}  // namespace torchao_ops::cuda
