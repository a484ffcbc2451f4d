// Any sizes, types and bit patterns through every nf4_mm and nf4_mm_transposed kernel: no undefined behaviour, no access outside the operands, and what
// all products owe (fuzz_mm.h).
#include "csrc/spec/nf4_mm.h"
#include "tests/cpp/fuzz/fuzz_mm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const bool transposed = input.byte() % 2 != 0;
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedNf4Weight weight(N, K, input);
  const FuzzedActivations activations(M, transposed ? N : K, transposed ? K : N, !transposed, input);
  static const std::vector<Nf4MmKernel> products = nf4_mm_kernels(), transposed_products = nf4_mm_transposed_kernels();
  run(transposed ? transposed_products : products, transposed ? nf4_mm_transposed_ref : nf4_mm_ref, activations,
      {activations.args, weight.view}, 1);
  return 0;
}
