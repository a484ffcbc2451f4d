#include "csrc/cuda/sparse24_mm_simt.h"

#include "csrc/cuda/mm_simt.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

bool is_int8(const Sparse24MmArgs& args) { return args.weight.value_type == sparse24::ValueType::int8; }

}  // namespace

int64_t sparse24_mm_simt_workspace_bytes(const Sparse24MmArgs&, const Device&) { return 0; }
Status sparse24_mm_simt(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  return status == Status::ok ? run_mm_simt<Sparse24>(args.mm, args.weight, context) : status;
}

int64_t sparse24_dynamic_mm_simt_workspace_bytes(const Sparse24MmArgs& args, const Device&) {
  return is_int8(args) ? QuantizedX::bytes(args.mm.M, args.weight.K) : rounded_x_bytes(args.mm.M, args.weight.K);
}
Status sparse24_dynamic_mm_simt(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  return is_int8(args) ? run_dynamic_mm_simt<Sparse24>(args.mm, args.weight, context)
                       : run_rounded_mm_simt<Sparse24>(args.mm, args.weight, Float8Type::e4m3fn, context);
}

}  // namespace torchao_ops::cuda
