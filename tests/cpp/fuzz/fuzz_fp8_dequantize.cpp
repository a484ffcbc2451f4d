// Any sizes, types and bit patterns through every fp8_dequantize kernel: the reference's numbers, no access outside the operands.
#include "csrc/spec/fp8_dequantize.h"
#include "tests/cpp/fuzz/fuzz_dequantize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops::test;
  Input input(data, size);
  static const std::vector<Fp8DequantizeKernel> kernels = fp8_dequantize_kernels();
  run<FuzzedFp8Weight>(kernels, torchao_ops::fp8_dequantize_ref, input);
  return 0;
}
