#include "csrc/cuda/sparse24_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/sparse24_mm_mma.h"
#include "csrc/cuda/sparse24_mm_simt.h"

namespace torchao_ops::cuda {

int64_t sparse24_dynamic_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device) {
  return supports_sparse24_dynamic_mm_mma(args) ? sparse24_dynamic_mm_mma_workspace_bytes(args, device)
                                                : sparse24_dynamic_mm_simt_workspace_bytes(args, device);
}

Status sparse24_dynamic_mm(const Sparse24MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  return supports_sparse24_dynamic_mm_mma(args) ? sparse24_dynamic_mm_mma(args, context)
                                                : sparse24_dynamic_mm_simt(args, context);
}

}  // namespace torchao_ops::cuda
