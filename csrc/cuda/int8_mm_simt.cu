#include "csrc/cuda/int8_mm_simt.h"

#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_simt.cuh"

namespace torchao_ops::cuda {

int64_t int8_mm_simt_workspace_bytes(const Int8MmArgs&, const Device&) { return 0; }
Status int8_mm_simt(const Int8MmArgs& args, const Context& context) { return run_mm_simt<Int8>(args.mm, args.weight, context); }

int64_t int8_dynamic_mm_simt_workspace_bytes(const Int8MmArgs& args, const Device&) {
  return QuantizedX::bytes(args.mm.M, args.weight.K);
}
Status int8_dynamic_mm_simt(const Int8MmArgs& args, const Context& context) {
  return run_dynamic_mm_simt<Int8>(args.mm, args.weight, context);
}

}  // namespace torchao_ops::cuda
