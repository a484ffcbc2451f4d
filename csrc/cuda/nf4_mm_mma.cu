#include "csrc/cuda/nf4_mm_mma.h"

#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/nf4_codes.cuh"

namespace torchao_ops::cuda {

// Compiled in nf4_mm_mma_{bf16,f16}.cu.
extern template Status run_mm_mma<Nf4, Bf16Dot>(const Product<Nf4>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                const Context&);
extern template Status run_mm_mma<Nf4, F16Dot>(const Product<Nf4>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                               const Context&);

bool supports_nf4_mm_mma(const Nf4MmArgs& args) { return args.mm.x_type != FloatType::f32 && supports_mm_mma<Nf4>(args.weight); }
int64_t nf4_mm_mma_workspace_bytes(const Nf4MmArgs& args, const Device& device) {
  return mma_plan_of<Nf4>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status nf4_mm_mma(const Nf4MmArgs& args, const Context& context) { return multiply_mma<Nf4>(args.mm, args.weight, context); }

}  // namespace torchao_ops::cuda
