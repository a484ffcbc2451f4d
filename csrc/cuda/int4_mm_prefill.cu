#include "csrc/cuda/int4_mm_prefill.h"

#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/int4_dequantize.h"
#include "csrc/cuda/mm_prefill.cuh"

namespace torchao_ops::cuda {

int64_t int4_mm_prefill_workspace_bytes(const Int4MmArgs& args, const Device&) {
  return PrefillWorkspace(args.mm, args.weight.N, args.weight.K).total;
}

Status int4_mm_prefill(const Int4MmArgs& args, const Context& context) {
  const auto dequantize = [&](int64_t n, int64_t rows, void* out) {
    return int4_dequantize({Int4::rows(args.weight, n, rows), out, args.mm.x_type}, context);
  };
  return run_mm_prefill(args.mm, args.weight.N, args.weight.K, dequantize, context);
}

}  // namespace torchao_ops::cuda
