#include "csrc/cuda/fp8_scaled_mm.h"

#include "csrc/cuda/fp8_product.h"

namespace torchao_ops::cuda {
namespace {

Fp8Product product_of(const Fp8ScaledMmArgs& args) { return {args, nullptr, FloatType::f32, 0}; }

}  // namespace

int64_t fp8_scaled_mm_workspace_bytes(const Fp8ScaledMmArgs& args, const Device& device) {
  return fp8_product_workspace_bytes(product_of(args), device);
}

Status fp8_scaled_mm(const Fp8ScaledMmArgs& args, const Context& context) { return fp8_product(product_of(args), context); }

}  // namespace torchao_ops::cuda
