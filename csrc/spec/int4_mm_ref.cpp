#include "csrc/spec/int4_mm.h"
#include "csrc/spec/mm_ref.h"

namespace torchao_ops {

void int4_mm_ref(const Int4MmArgs& args, double* y) { multiply(args.mm, args.weight, activations(args.mm, args.weight.K), y); }

void int4_dynamic_mm_ref(const Int4MmArgs& args, double* y) {
  multiply(args.mm, args.weight, quantized_activations(args.mm, args.weight.K), y);
}

}  // namespace torchao_ops
