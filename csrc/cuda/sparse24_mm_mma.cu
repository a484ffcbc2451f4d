#include "csrc/cuda/sparse24_mm_mma.h"

#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {

// Compiled in sparse24_mm_mma_{bf16,f16,int8}.cu.
#define SPARSE24_RUN(Value, Dot)                                                                                               \
  extern template Status run_mm_mma<Sparse24Of<Value>, Dot>(const Product<Sparse24Of<Value>>&, const uint8_t*, int64_t, void*, \
                                                            const MmaPlan&, const Context&)
SPARSE24_RUN(uint16_t, Bf16Dot);
SPARSE24_RUN(uint16_t, F16Dot);
SPARSE24_RUN(int8_t, Bf16Dot);
SPARSE24_RUN(int8_t, F16Dot);
SPARSE24_RUN(int8_t, Int8Dot);
SPARSE24_RUN(Float8E4m3fn, Bf16Dot);
SPARSE24_RUN(Float8E4m3fn, F16Dot);
#undef SPARSE24_RUN

namespace {

bool has_bytes(const sparse24::Weight& w) { return sparse24::size_of(w.value_type) == 1; }

// Calls body(Format{}) with the format of values of 1 or 2 bytes.
template <class Body>
auto with_format(sparse24::ValueType type, const Body& body) {
  switch (type) {
    case sparse24::ValueType::int8: return body(Sparse24Of<int8_t>{});
    case sparse24::ValueType::e4m3fn: return body(Sparse24Of<Float8E4m3fn>{});
    default: return body(Sparse24Of<uint16_t>{});
  }
}

int64_t partial_bytes(const Sparse24MmArgs& args, const Device& device) {
  return with_format(args.weight.value_type, [&](auto format) {
    return mma_plan_of<decltype(format)>(args.mm, args.weight, device).partial_bytes(args.weight.N);
  });
}

}  // namespace

bool supports_sparse24_mm_mma(const Sparse24MmArgs& args) {
  const sparse24::ValueType same = args.mm.x_type == FloatType::bf16 ? sparse24::ValueType::bf16 : sparse24::ValueType::f16;
  return args.mm.x_type != FloatType::f32 && (args.weight.value_type == same || has_bytes(args.weight)) &&
         supports_mm_mma<Sparse24>(args.weight);
}
int64_t sparse24_mm_mma_workspace_bytes(const Sparse24MmArgs& args, const Device& device) { return partial_bytes(args, device); }
Status sparse24_mm_mma(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  return with_format(args.weight.value_type,
                     [&](auto format) { return multiply_mma<decltype(format)>(args.mm, args.weight, context); });
}

bool supports_sparse24_dynamic_mm_mma(const Sparse24MmArgs& args) {
  const bool is_exact = args.weight.value_type != sparse24::ValueType::int8 || args.weight.K <= sparse24_exact_k;
  return has_bytes(args.weight) && is_exact && supports_mm_mma<Sparse24>(args.weight);
}
int64_t sparse24_dynamic_mm_mma_workspace_bytes(const Sparse24MmArgs& args, const Device& device) {
  const bool is_int8 = args.weight.value_type == sparse24::ValueType::int8;
  return (is_int8 ? QuantizedX::bytes(args.mm.M, args.weight.K) : rounded_x_bytes(args.mm.M, args.weight.K)) +
         partial_bytes(args, device);
}
Status sparse24_dynamic_mm_mma(const Sparse24MmArgs& args, const Context& context) {
  const Status status = sparse24_find_violation(args.weight, args.violation, context);
  if (status != Status::ok) return status;
  return args.weight.value_type == sparse24::ValueType::int8
             ? multiply_dynamic_mma<Sparse24Of<int8_t>>(args.mm, args.weight, context)
             : multiply_rounded_mma<Sparse24Of<Float8E4m3fn>>(args.mm, args.weight, Float8Type::e4m3fn, context);
}

}  // namespace torchao_ops::cuda
