#include "csrc/cuda/int4_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int4_mm_mma.h"
#include "csrc/cuda/int4_mm_prefill.h"
#include "csrc/cuda/int4_mm_simt.h"
#include "csrc/cuda/mm_choice.h"

namespace torchao_ops::cuda {
namespace {

constexpr MmKernels<Int4MmArgs> kernels{supports_int4_mm_mma,
                                        {int4_mm_mma_workspace_bytes, int4_mm_mma},
                                        {int4_mm_simt_workspace_bytes, int4_mm_simt},
                                        {int4_mm_prefill_workspace_bytes, int4_mm_prefill}};

}  // namespace

int64_t int4_mm_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return kernels.choose(args).workspace_bytes(args, device);
}

Status int4_mm(const Int4MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? kernels.choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
