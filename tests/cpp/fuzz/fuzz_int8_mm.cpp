// Any sizes, types and bit patterns through every int8_mm and int8_dynamic_mm kernel: no undefined behaviour, no access outside the operands, and what
// all products owe (fuzz_mm.h).
#include "csrc/spec/int8_mm.h"
#include "tests/cpp/fuzz/fuzz_mm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const bool dynamic = input.byte() % 2 != 0;
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedInt8Weight weight(N, K, input);
  const FuzzedActivations activations(M, K, N, true, input);
  static const std::vector<Int8MmKernel> products = int8_mm_kernels(), dynamic_products = int8_dynamic_mm_kernels();
  run(dynamic ? dynamic_products : products, dynamic ? int8_dynamic_mm_ref : int8_mm_ref, activations,
      {activations.args, weight.view}, 128);
  return 0;
}
