#include "csrc/cuda/int8_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_dynamic_mm_prefill.h"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_simt.h"

namespace torchao_ops::cuda {
namespace {

// Rows of x from which cuBLASLt's product and a pass over its sums are taken to be faster. A guess, not measured: 128 rows are two blocks of the
// tensor-core kernel, of which the second reads the weight from the cache.
constexpr int64_t fewest_rows_prefill = 129;

bool prefers_prefill(const Int8MmArgs& args) {
  return args.mm.M >= fewest_rows_prefill && supports_int8_dynamic_mm_prefill(args);
}

}  // namespace

int64_t int8_dynamic_mm_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  if (prefers_prefill(args)) return int8_dynamic_mm_prefill_workspace_bytes(args, device);
  return supports_int8_dynamic_mm_mma(args) ? int8_dynamic_mm_mma_workspace_bytes(args, device)
                                            : int8_dynamic_mm_simt_workspace_bytes(args, device);
}

Status int8_dynamic_mm(const Int8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  if (prefers_prefill(args)) return int8_dynamic_mm_prefill(args, context);
  return supports_int8_dynamic_mm_mma(args) ? int8_dynamic_mm_mma(args, context) : int8_dynamic_mm_simt(args, context);
}

}  // namespace torchao_ops::cuda
