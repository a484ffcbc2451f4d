#include "csrc/cuda/fp8_mm_prefill.h"

#include "csrc/cuda/fp8_dequantize.h"
#include "csrc/cuda/mm_prefill.cuh"

namespace torchao_ops::cuda {

int64_t fp8_mm_prefill_workspace_bytes(const Fp8MmArgs& args, const Device&) {
  return PrefillWorkspace(args.mm, args.weight.N, args.weight.K).total;
}

Status fp8_mm_prefill(const Fp8MmArgs& args, const Context& context) {
  const auto dequantize = [&](int64_t n, int64_t rows, void* out) {
    return fp8_dequantize_part({args.weight, out, args.mm.x_type}, {n, rows, 0, args.weight.K}, context);
  };
  return run_mm_prefill(args.mm, args.weight.N, args.weight.K, dequantize, context);
}

}  // namespace torchao_ops::cuda
