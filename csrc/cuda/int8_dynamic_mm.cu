#include "csrc/cuda/int8_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_simt.h"

namespace torchao_ops::cuda {

int64_t int8_dynamic_mm_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return supports_int8_dynamic_mm_mma(args) ? int8_dynamic_mm_mma_workspace_bytes(args, device)
                                            : int8_dynamic_mm_simt_workspace_bytes(args, device);
}

Status int8_dynamic_mm(const Int8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  return supports_int8_dynamic_mm_mma(args) ? int8_dynamic_mm_mma(args, context) : int8_dynamic_mm_simt(args, context);
}

}  // namespace torchao_ops::cuda
