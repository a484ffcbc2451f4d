#include "csrc/cuda/fp8_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/fp8_dynamic_mm_prefill.h"
#include "csrc/cuda/fp8_mm_mma.h"
#include "csrc/cuda/fp8_mm_simt.h"
#include "csrc/cuda/mm_choice.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {
namespace {

// As mm_choice.h has it for tensor cores.
bool prefers_prefill(const Fp8MmArgs& args, const Device& device) {
  if (batch_invariant()) return false;  // cuBLASLt adds in another order for another M
  return args.mm.M > most_rows_mma && supports_fp8_dynamic_mm_prefill(args, device);
}

constexpr MmKernel<Fp8MmArgs> mma{fp8_dynamic_mm_mma_workspace_bytes, fp8_dynamic_mm_mma},
    simt{fp8_dynamic_mm_simt_workspace_bytes, fp8_dynamic_mm_simt},
    prefill{fp8_dynamic_mm_prefill_workspace_bytes, fp8_dynamic_mm_prefill};

const MmKernel<Fp8MmArgs>& choose(const Fp8MmArgs& args, const Device& device) {
  return prefers_prefill(args, device) ? prefill : supports_fp8_dynamic_mm_mma(args) ? mma : simt;
}

}  // namespace

int64_t fp8_dynamic_mm_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  return choose(args, device).workspace_bytes(args, device);
}

Status fp8_dynamic_mm(const Fp8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? choose(args, context.device).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
