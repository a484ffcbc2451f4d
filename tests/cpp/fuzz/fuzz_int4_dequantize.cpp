// Any sizes, types and bit patterns through every int4_dequantize kernel: the reference's numbers, no access outside the operands.
#include "csrc/spec/int4_dequantize.h"
#include "tests/cpp/fuzz/fuzz_dequantize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops::test;
  Input input(data, size);
  static const std::vector<Int4DequantizeKernel> kernels = int4_dequantize_kernels();
  run<FuzzedInt4Weight>(kernels, torchao_ops::int4_dequantize_ref, input);
  return 0;
}
