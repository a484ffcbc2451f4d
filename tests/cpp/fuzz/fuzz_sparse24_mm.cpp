// Any sizes, types and bit patterns through every sparse24_mm and sparse24_dynamic_mm kernel: no undefined behaviour, no access outside the operands, and
// what all products owe (fuzz_mm.h).
#include "csrc/spec/sparse24_mm.h"
#include "tests/cpp/fuzz/fuzz_mm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  using sparse24::ValueType;
  Input input(data, size);
  const bool dynamic = input.byte() % 2 != 0;
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedSparse24Weight weight(N, K, dynamic, input);
  const FuzzedActivations activations(M, K, N, true, input);
  static const std::vector<Sparse24MmKernel> products = sparse24_mm_kernels(), dynamic_products = sparse24_dynamic_mm_kernels();
  int64_t violation;
  const Sparse24MmArgs args{activations.args, weight.view, input.byte() % 2 != 0 ? &violation : nullptr};
  run(dynamic ? dynamic_products : products, dynamic ? sparse24_dynamic_mm_ref : sparse24_mm_ref, activations, args,
      weight.largest());
  return 0;
}
