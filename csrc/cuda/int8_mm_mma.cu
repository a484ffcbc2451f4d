#include "csrc/cuda/int8_mm_mma.h"

#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

// Compiled in int8_mm_mma_{bf16,f16,int8}.cu.
extern template Status run_mm_mma<Int8, Bf16Dot>(const Product<Int8>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                 const Context&);
extern template Status run_mm_mma<Int8, F16Dot>(const Product<Int8>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                const Context&);
extern template Status run_mm_mma<Int8, Int8Dot>(const Product<Int8>&, const uint8_t*, int64_t, void*, const MmaPlan&,
                                                 const Context&);

bool supports_int8_mm_mma(const Int8MmArgs& args) {
  return args.mm.x_type != FloatType::f32 && supports_mm_mma<Int8>(args.weight);
}
int64_t int8_mm_mma_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return mma_plan_of<Int8>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status int8_mm_mma(const Int8MmArgs& args, const Context& context) { return multiply_mma<Int8>(args.mm, args.weight, context); }

bool supports_int8_dynamic_mm_mma(const Int8MmArgs& args) { return supports_mm_mma<Int8>(args.weight); }
int64_t int8_dynamic_mm_mma_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return QuantizedX::bytes(args.mm.M, args.weight.K) +
         mma_plan_of<Int8>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status int8_dynamic_mm_mma(const Int8MmArgs& args, const Context& context) {
  return multiply_dynamic_mma<Int8>(args.mm, args.weight, context);
}

}  // namespace torchao_ops::cuda
