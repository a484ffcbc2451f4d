#include "csrc/cuda/nf4_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_choice.h"
#include "csrc/cuda/nf4_mm_mma.h"
#include "csrc/cuda/nf4_mm_prefill.h"
#include "csrc/cuda/nf4_mm_simt.h"

namespace torchao_ops::cuda {
namespace {

constexpr MmKernels<Nf4MmArgs> kernels{supports_nf4_mm_mma,
                                       {nf4_mm_mma_workspace_bytes, nf4_mm_mma},
                                       {nf4_mm_simt_workspace_bytes, nf4_mm_simt},
                                       {nf4_mm_prefill_workspace_bytes, nf4_mm_prefill}};

}  // namespace

int64_t nf4_mm_workspace_bytes(const Nf4MmArgs& args, const Device& device) {
  return kernels.choose(args).workspace_bytes(args, device);
}

Status nf4_mm(const Nf4MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? kernels.choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
