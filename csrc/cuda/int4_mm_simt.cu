#include "csrc/cuda/int4_mm_simt.h"

#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/mm_simt.cuh"

namespace torchao_ops::cuda {

int64_t int4_mm_simt_workspace_bytes(const Int4MmArgs&, const Device&) { return 0; }
Status int4_mm_simt(const Int4MmArgs& args, const Context& context) { return run_mm_simt<Int4>(args.mm, args.weight, context); }

int64_t int4_dynamic_mm_simt_workspace_bytes(const Int4MmArgs& args, const Device&) {
  return QuantizedX::bytes(args.mm.M, args.weight.K);
}
Status int4_dynamic_mm_simt(const Int4MmArgs& args, const Context& context) {
  return run_dynamic_mm_simt<Int4>(args.mm, args.weight, context);
}

}  // namespace torchao_ops::cuda
