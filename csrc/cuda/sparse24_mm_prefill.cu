#include "csrc/cuda/sparse24_mm_prefill.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/mm_prefill.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {

int64_t sparse24_mm_prefill_workspace_bytes(const Sparse24MmArgs& args, const Device&) {
  return PrefillWorkspace(args.mm, args.weight.N, args.weight.K).total;
}

Status sparse24_mm_prefill(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  const auto make_dense = [&](int64_t n, int64_t rows, void* out) {
    return run_dequantize<Sparse24>(args.weight, {n, rows, 0, args.weight.K}, out, args.mm.x_type, context);
  };
  return run_mm_prefill(args.mm, args.weight.N, args.weight.K, make_dense, context);
}

}  // namespace torchao_ops::cuda
