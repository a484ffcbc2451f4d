// Any sizes, types and bit patterns through every nf4_dequantize kernel: the reference's numbers, no access outside the operands.
#include "csrc/spec/nf4_dequantize.h"
#include "tests/cpp/fuzz/fuzz_dequantize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops::test;
  Input input(data, size);
  static const std::vector<Nf4DequantizeKernel> kernels = nf4_dequantize_kernels();
  run<FuzzedNf4Weight>(kernels, torchao_ops::nf4_dequantize_ref, input);
  return 0;
}
