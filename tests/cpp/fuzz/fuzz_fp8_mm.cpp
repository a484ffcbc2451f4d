// Any sizes, types and bit patterns through every fp8_mm and fp8_dynamic_mm kernel: no undefined behaviour, no access outside the operands, and what
// all products owe (fuzz_mm.h).
#include "csrc/spec/fp8_mm.h"
#include "tests/cpp/fuzz/fuzz_mm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const bool dynamic = input.byte() % 2 != 0;
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedFp8Weight weight(N, K, input);
  const FuzzedActivations activations(M, K, N, true, input);
  static const std::vector<Fp8MmKernel> products = fp8_mm_kernels(), dynamic_products = fp8_dynamic_mm_kernels();
  run(dynamic ? dynamic_products : products, dynamic ? fp8_dynamic_mm_ref : fp8_mm_ref, activations, weight.view, 57344);
  return 0;
}
