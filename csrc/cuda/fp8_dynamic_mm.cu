#include "csrc/cuda/fp8_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/fp8_dynamic_mm_prefill.h"
#include "csrc/cuda/fp8_mm_mma.h"
#include "csrc/cuda/fp8_mm_simt.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {
namespace {

// Rows of x from which cuBLASLt's product and a pass over its sums are taken to be faster. A guess, not measured: 128 rows are two blocks of the
// tensor-core kernel, of which the second reads the weight from the cache.
constexpr int64_t fewest_rows_prefill = 129;

bool prefers_prefill(const Fp8MmArgs& args, const Device& device) {
  if (batch_invariant()) return false;  // cuBLASLt adds in another order for another M
  return args.mm.M >= fewest_rows_prefill && supports_fp8_dynamic_mm_prefill(args, device);
}

}  // namespace

int64_t fp8_dynamic_mm_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  if (prefers_prefill(args, device)) return fp8_dynamic_mm_prefill_workspace_bytes(args, device);
  return supports_fp8_dynamic_mm_mma(args) ? fp8_dynamic_mm_mma_workspace_bytes(args, device)
                                           : fp8_dynamic_mm_simt_workspace_bytes(args, device);
}

Status fp8_dynamic_mm(const Fp8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  if (prefers_prefill(args, context.device)) return fp8_dynamic_mm_prefill(args, context);
  return supports_fp8_dynamic_mm_mma(args) ? fp8_dynamic_mm_mma(args, context) : fp8_dynamic_mm_simt(args, context);
}

}  // namespace torchao_ops::cuda
