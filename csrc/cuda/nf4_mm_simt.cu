#include "csrc/cuda/nf4_mm_simt.h"

#include "csrc/cuda/mm_simt.cuh"
#include "csrc/cuda/nf4_codes.cuh"

namespace torchao_ops::cuda {

int64_t nf4_mm_simt_workspace_bytes(const Nf4MmArgs&, const Device&) { return 0; }
Status nf4_mm_simt(const Nf4MmArgs& args, const Context& context) { return run_mm_simt<Nf4>(args.mm, args.weight, context); }

}  // namespace torchao_ops::cuda
