#include "csrc/cuda/fp8_mm_mma.h"

#include "csrc/cuda/fp8_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

// Compiled in fp8_mm_mma_{bf16,f16}.cu.
#define FP8_RUN(Code, Dot)                                                                                                     \
  extern template Status run_mm_mma<Fp8<Code>, Dot>(const Product<Fp8<Code>>&, const uint8_t*, int64_t, void*, const MmaPlan&, \
                                                    const Context&)
FP8_RUN(Float8E4m3fn, Bf16Dot);
FP8_RUN(Float8E4m3fn, F16Dot);
FP8_RUN(Float8E5m2, Bf16Dot);
FP8_RUN(Float8E5m2, F16Dot);
#undef FP8_RUN

namespace {

// What a kernel can read and how a product is cut are the same for both types.
using Any = Fp8<Float8E4m3fn>;

}  // namespace

bool supports_fp8_mm_mma(const Fp8MmArgs& args) { return args.mm.x_type != FloatType::f32 && supports_mm_mma<Any>(args.weight); }
int64_t fp8_mm_mma_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  return mma_plan_of<Any>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status fp8_mm_mma(const Fp8MmArgs& args, const Context& context) {
  return with_fp8_format(args.weight.type,
                         [&](auto format) { return multiply_mma<decltype(format)>(args.mm, args.weight, context); });
}

bool supports_fp8_dynamic_mm_mma(const Fp8MmArgs& args) { return supports_mm_mma<Any>(args.weight); }
int64_t fp8_dynamic_mm_mma_workspace_bytes(const Fp8MmArgs& args, const Device& device) {
  return rounded_x_bytes(args.mm.M, args.weight.K) + mma_plan_of<Any>(args.mm, args.weight, device).partial_bytes(args.weight.N);
}
Status fp8_dynamic_mm_mma(const Fp8MmArgs& args, const Context& context) {
  return with_fp8_format(args.weight.type, [&](auto format) {
    return multiply_rounded_mma<decltype(format)>(args.mm, args.weight, args.weight.type, context);
  });
}

}  // namespace torchao_ops::cuda
