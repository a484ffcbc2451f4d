#include "csrc/cuda/int4_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int4_mm_mma.h"
#include "csrc/cuda/int4_mm_simt.h"

namespace torchao_ops::cuda {

int64_t int4_dynamic_mm_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return supports_int4_dynamic_mm_mma(args) ? int4_dynamic_mm_mma_workspace_bytes(args, device)
                                            : int4_dynamic_mm_simt_workspace_bytes(args, device);
}

Status int4_dynamic_mm(const Int4MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  return supports_int4_dynamic_mm_mma(args) ? int4_dynamic_mm_mma(args, context) : int4_dynamic_mm_simt(args, context);
}

}  // namespace torchao_ops::cuda
