#include "csrc/cuda/int8_mm_prefill.h"

#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/int8_dequantize.h"
#include "csrc/cuda/mm_prefill.cuh"

namespace torchao_ops::cuda {

int64_t int8_mm_prefill_workspace_bytes(const Int8MmArgs& args, const Device&) {
  return PrefillWorkspace(args.mm, args.weight.N, args.weight.K).total;
}

Status int8_mm_prefill(const Int8MmArgs& args, const Context& context) {
  const auto dequantize = [&](int64_t n, int64_t rows, void* out) {
    return int8_dequantize({Int8::rows(args.weight, n, rows), out, args.mm.x_type}, context);
  };
  return run_mm_prefill(args.mm, args.weight.N, args.weight.K, dequantize, context);
}

}  // namespace torchao_ops::cuda
