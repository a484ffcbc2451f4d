#include "csrc/cuda/nf4_mm_prefill.h"

#include "csrc/cuda/mm_prefill.cuh"
#include "csrc/cuda/nf4_dequantize.h"

namespace torchao_ops::cuda {

int64_t nf4_mm_prefill_workspace_bytes(const Nf4MmArgs& args, const Device&) {
  return PrefillWorkspace(args.mm, args.weight.N, args.weight.K).total;
}

Status nf4_mm_prefill(const Nf4MmArgs& args, const Context& context) {
  const auto dequantize = [&](int64_t n, int64_t rows, void* out) {
    return nf4_dequantize_part({args.weight, out, args.mm.x_type}, {n, rows, 0, args.weight.K}, context);
  };
  return run_mm_prefill(args.mm, args.weight.N, args.weight.K, dequantize, context);
}

}  // namespace torchao_ops::cuda
