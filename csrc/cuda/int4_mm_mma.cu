#include "csrc/cuda/int4_mm_mma.h"

#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

// Compiled in int4_mm_mma_{bf16,f16,int8}.cu.
extern template Status run_mm_mma<Int4, Bf16Dot>(const Product<Int4>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                 const Context&);
extern template Status run_mm_mma<Int4, F16Dot>(const Product<Int4>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                const Context&);
extern template Status run_mm_mma<Int4, Int8Dot>(const Product<Int4>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                 const Context&);

bool supports_int4_mm_mma(const Int4MmArgs& args) {
  return args.mm.x_type != FloatType::f32 && supports_mm_mma<Int4>(args.weight);
}
int64_t int4_mm_mma_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return mma_plan_of<Int4>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status int4_mm_mma(const Int4MmArgs& args, const Context& context) { return multiply_mma<Int4>(args.mm, args.weight, context); }

bool supports_int4_dynamic_mm_mma(const Int4MmArgs& args) { return supports_mm_mma<Int4>(args.weight); }
int64_t int4_dynamic_mm_mma_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return QuantizedX::bytes(args.mm.M, args.weight.K) +
         mma_plan_of<Int4>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status int4_dynamic_mm_mma(const Int4MmArgs& args, const Context& context) {
  return multiply_dynamic_mma<Int4>(args.mm, args.weight, context);
}

}  // namespace torchao_ops::cuda
