#include "csrc/cuda/sparse24_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_choice.h"
#include "csrc/cuda/sparse24_mm_mma.h"
#include "csrc/cuda/sparse24_mm_prefill.h"
#include "csrc/cuda/sparse24_mm_simt.h"

namespace torchao_ops::cuda {
namespace {

constexpr MmKernels<Sparse24MmArgs> kernels{supports_sparse24_mm_mma,
                                            {sparse24_mm_mma_workspace_bytes, sparse24_mm_mma},
                                            {sparse24_mm_simt_workspace_bytes, sparse24_mm_simt},
                                            {sparse24_mm_prefill_workspace_bytes, sparse24_mm_prefill}};

}  // namespace

int64_t sparse24_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device) {
  return kernels.choose(args).workspace_bytes(args, device);
}

Status sparse24_mm(const Sparse24MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? kernels.choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
