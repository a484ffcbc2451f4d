#include "csrc/cuda/sparse24_dynamic_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_choice.h"
#include "csrc/cuda/sparse24_dynamic_mm_prefill.h"
#include "csrc/cuda/sparse24_mm_mma.h"
#include "csrc/cuda/sparse24_mm_simt.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {
namespace {

// As mm_choice.h has it. Integers have one sum, whatever their order.
bool prefers_prefill(const Sparse24MmArgs& args) {
  const bool may_be_reordered = args.weight.value_type == sparse24::ValueType::int8 || !batch_invariant();
  const int64_t most_rows = supports_sparse24_dynamic_mm_mma(args) ? most_rows_mma : most_rows_simt;
  return args.mm.M > most_rows && may_be_reordered && supports_sparse24_dynamic_mm_prefill(args);
}

constexpr MmKernel<Sparse24MmArgs> mma{sparse24_dynamic_mm_mma_workspace_bytes, sparse24_dynamic_mm_mma},
    simt{sparse24_dynamic_mm_simt_workspace_bytes, sparse24_dynamic_mm_simt},
    prefill{sparse24_dynamic_mm_prefill_workspace_bytes, sparse24_dynamic_mm_prefill};

const MmKernel<Sparse24MmArgs>& choose(const Sparse24MmArgs& args) {
  return prefers_prefill(args) ? prefill : supports_sparse24_dynamic_mm_mma(args) ? mma : simt;
}

}  // namespace

int64_t sparse24_dynamic_mm_workspace_bytes(const Sparse24MmArgs& args, const Device& device) {
  return choose(args).workspace_bytes(args, device);
}

Status sparse24_dynamic_mm(const Sparse24MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
