#include "csrc/cuda/int4_mm_mma.h"

#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {

// Compiled in int4_mm_mma_{bf16,f16,int8}.cu.
extern template Status run_mm_mma<Int4, Bf16Dot>(const Product<Int4>&, const uint8_t*, int64_t, float*, const MmaPlan&,
                                                 const Context&);
extern template Status run_mm_mma<Int4, F16Dot>(const Product<Int4>&, const uint8_t*, int64_t, float*, const MmaPlan&,
                                                const Context&);
extern template Status run_mm_mma<Int4, Int8Dot>(const Product<Int4>&, const uint8_t*, int64_t, float*, const MmaPlan&,
                                                 const Context&);

namespace {

MmaPlan plan_of(const Int4MmArgs& args, const Device& device) {
  return mma_plan(args.mm.M, args.weight.N, args.weight.K, batch_invariant(), device);
}

// What lies in the workspace of a dynamic product.
struct DynamicWorkspace {
  int64_t x_scale, x8, partial;  // where they begin
  DynamicWorkspace(int64_t M, int64_t K)
      : x_scale(0),
        x8(workspace_aligned(M * static_cast<int64_t>(sizeof(float)))),
        partial(x8 + workspace_aligned(M * quantized_row_bytes(K))) {}
};

}  // namespace

bool supports_int4_mm_mma(const Int4MmArgs& args) {
  return args.mm.x_type != FloatType::f32 && supports_mm_mma<Int4>(args.weight);
}

int64_t int4_mm_mma_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return plan_of(args, device).partial_bytes(args.weight.N);
}

Status int4_mm_mma(const Int4MmArgs& args, const Context& context) {
  const Product<Int4> product{args.mm, args.weight, nullptr};
  const auto run = args.mm.x_type == FloatType::bf16 ? run_mm_mma<Int4, Bf16Dot> : run_mm_mma<Int4, F16Dot>;
  return run(product, nullptr, 0, static_cast<float*>(context.workspace), plan_of(args, context.device), context);
}

bool supports_int4_dynamic_mm_mma(const Int4MmArgs& args) { return supports_mm_mma<Int4>(args.weight); }

int64_t int4_dynamic_mm_mma_workspace_bytes(const Int4MmArgs& args, const Device& device) {
  return DynamicWorkspace(args.mm.M, args.weight.K).partial + plan_of(args, device).partial_bytes(args.weight.N);
}

Status int4_dynamic_mm_mma(const Int4MmArgs& args, const Context& context) {
  const DynamicWorkspace places(args.mm.M, args.weight.K);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  float* const x_scale = reinterpret_cast<float*>(workspace + places.x_scale);
  uint8_t* const x8 = workspace + places.x8;
  const Status status = quantize_activations(args.mm, args.weight.K, x8, x_scale, context);
  if (status != Status::ok) return status;
  return run_mm_mma<Int4, Int8Dot>({args.mm, args.weight, x_scale}, x8, quantized_row_bytes(args.weight.K),
                                   reinterpret_cast<float*>(workspace + places.partial), plan_of(args, context.device), context);
}

}  // namespace torchao_ops::cuda
