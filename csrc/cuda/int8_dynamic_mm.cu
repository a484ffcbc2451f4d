#include "csrc/cuda/int8_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_dynamic_mm_prefill.h"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_simt.h"
#include "csrc/cuda/mm_choice.h"

namespace torchao_ops::cuda {
namespace {

// As mm_choice.h has it for tensor cores.
bool prefers_prefill(const Int8MmArgs& args) { return args.mm.M > most_rows_mma && supports_int8_dynamic_mm_prefill(args); }

constexpr MmKernel<Int8MmArgs> mma{int8_dynamic_mm_mma_workspace_bytes, int8_dynamic_mm_mma},
    simt{int8_dynamic_mm_simt_workspace_bytes, int8_dynamic_mm_simt},
    prefill{int8_dynamic_mm_prefill_workspace_bytes, int8_dynamic_mm_prefill};

const MmKernel<Int8MmArgs>& choose(const Int8MmArgs& args) {
  return prefers_prefill(args) ? prefill : supports_int8_dynamic_mm_mma(args) ? mma : simt;
}

}  // namespace

int64_t int8_dynamic_mm_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return choose(args).workspace_bytes(args, device);
}

Status int8_dynamic_mm(const Int8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
