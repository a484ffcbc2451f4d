#include "csrc/cuda/fp8_mm_simt.h"

#include "csrc/cuda/fp8_codes.cuh"
#include "csrc/cuda/mm_simt.cuh"

namespace torchao_ops::cuda {

int64_t fp8_mm_simt_workspace_bytes(const Fp8MmArgs&, const Device&) { return 0; }
Status fp8_mm_simt(const Fp8MmArgs& args, const Context& context) {
  return with_fp8_format(args.weight.type,
                         [&](auto format) { return run_mm_simt<decltype(format)>(args.mm, args.weight, context); });
}

int64_t fp8_dynamic_mm_simt_workspace_bytes(const Fp8MmArgs& args, const Device&) {
  return rounded_x_bytes(args.mm.M, args.weight.K);
}
Status fp8_dynamic_mm_simt(const Fp8MmArgs& args, const Context& context) {
  return with_fp8_format(args.weight.type, [&](auto format) {
    return run_rounded_mm_simt<decltype(format)>(args.mm, args.weight, args.weight.type, context);
  });
}

}  // namespace torchao_ops::cuda
