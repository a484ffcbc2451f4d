#include "csrc/spec/int8_mm.h"
#include "csrc/spec/mm_ref.h"

namespace torchao_ops {

void int8_mm_ref(const Int8MmArgs& args, double* y) { multiply(args.mm, args.weight, activations(args.mm, args.weight.K), y); }

void int8_dynamic_mm_ref(const Int8MmArgs& args, double* y) {
  multiply(args.mm, args.weight, quantized_activations(args.mm, args.weight.K), y);
}

}  // namespace torchao_ops
