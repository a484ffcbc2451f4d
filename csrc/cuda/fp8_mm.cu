#include "csrc/cuda/fp8_mm.h"

#include "csrc/cuda/fp8_codes.cuh"
#include "csrc/cuda/fp8_mm_mma.h"
#include "csrc/cuda/fp8_mm_prefill.h"
#include "csrc/cuda/fp8_mm_simt.h"
#include "csrc/cuda/mm_choice.h"

namespace torchao_ops::cuda {
namespace {

constexpr MmKernels<Fp8MmArgs> kernels{supports_fp8_mm_mma,
                                       {fp8_mm_mma_workspace_bytes, fp8_mm_mma},
                                       {fp8_mm_simt_workspace_bytes, fp8_mm_simt},
                                       {fp8_mm_prefill_workspace_bytes, fp8_mm_prefill}};

}  // namespace

int64_t fp8_mm_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  return kernels.choose(args).workspace_bytes(args, device);
}

Status fp8_mm(const Fp8MmArgs& args, const Context& context) {
  const Status status = Fp8<Float8E4m3fn>::check_size(args.weight);
  return status == Status::ok ? kernels.choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
