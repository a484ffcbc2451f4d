#include "csrc/cuda/sparse24_mm_simt.h"

#include "csrc/cuda/mm_simt.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

bool is_int8(const Sparse24MmArgs& args) { return args.weight.value_type == sparse24::ValueType::int8; }

// As sparse24_mm_mma.cu has it.
Status multiply_e4m3fn(const MmArgs& mm, const sparse24::Weight& weight, const Context& context) {
  const QuantizedX x(mm.M, weight.K, context.workspace, sizeof(__half));
  const Status status = round_activations_to_e4m3fn(mm, weight.K, x, context);
  if (status != Status::ok) return status;
  const ExactRows<__half> rows{reinterpret_cast<const __half*>(x.q), x.row_bytes / static_cast<int64_t>(sizeof(__half)),
                               weight.K};
  return launch_mm_simt<false>(Product<Sparse24>{mm, weight, x.scale}, rows, context);
}

}  // namespace

int64_t sparse24_mm_simt_workspace_bytes(const Sparse24MmArgs&, const Device&) { return 0; }
Status sparse24_mm_simt(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  return status == Status::ok ? run_mm_simt<Sparse24>(args.mm, args.weight, context) : status;
}

int64_t sparse24_dynamic_mm_simt_workspace_bytes(const Sparse24MmArgs& args, const Device&) {
  return QuantizedX::bytes(args.mm.M, args.weight.K, is_int8(args) ? 1 : sizeof(__half));
}
Status sparse24_dynamic_mm_simt(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  return is_int8(args) ? run_dynamic_mm_simt<Sparse24>(args.mm, args.weight, context)
                       : multiply_e4m3fn(args.mm, args.weight, context);
}

}  // namespace torchao_ops::cuda
