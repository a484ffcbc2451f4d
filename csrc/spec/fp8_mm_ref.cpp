#include "csrc/spec/fp8_mm.h"

#include "csrc/spec/mm_ref.h"

namespace torchao_ops {

void fp8_mm_ref(const Fp8MmArgs& args, double* y) { multiply(args.mm, args.weight, activations(args.mm, args.weight.K), y); }

void fp8_dynamic_mm_ref(const Fp8MmArgs& args, double* y) {
  auto round = [&](float value) {
    uint8_t code;
    store_float8(value, &code, args.weight.type, 0);
    return load_float8(&code, args.weight.type, 0);
  };
  multiply(args.mm, args.weight, quantized_activations(args.mm, args.weight.K, largest_of(args.weight.type), round), y);
}

}  // namespace torchao_ops
