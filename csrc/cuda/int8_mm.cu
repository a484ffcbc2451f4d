#include "csrc/cuda/int8_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_prefill.h"
#include "csrc/cuda/int8_mm_simt.h"
#include "csrc/cuda/mm_choice.h"

namespace torchao_ops::cuda {
namespace {

constexpr MmKernels<Int8MmArgs> kernels{supports_int8_mm_mma,
                                        {int8_mm_mma_workspace_bytes, int8_mm_mma},
                                        {int8_mm_simt_workspace_bytes, int8_mm_simt},
                                        {int8_mm_prefill_workspace_bytes, int8_mm_prefill}};

}  // namespace

int64_t int8_mm_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return kernels.choose(args).workspace_bytes(args, device);
}

Status int8_mm(const Int8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? kernels.choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
