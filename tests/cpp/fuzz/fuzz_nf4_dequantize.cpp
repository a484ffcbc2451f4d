// Any sizes, types and bit patterns through every nf4_dequantize kernel: the reference's numbers, no access outside the operands.
#include <cmath>

#include "csrc/spec/nf4_dequantize.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const int64_t N = input.below(20), K = input.size();
  const FuzzedNf4Weight weight(N, K, input);
  const FloatType type = input.float_type();
  const Block out(N * K * size_of(type), input), expected(N * K * size_of(type), input);
  nf4_dequantize_ref({weight.view, expected.data(), type});
  static const std::vector<Nf4DequantizeKernel> kernels = nf4_dequantize_kernels();
  const Nf4DequantizeArgs args{weight.view, out.data(), type};
  for (const Nf4DequantizeKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    for (int64_t i = 0; i < N * K; ++i) {
      const float value = load_float(out.data(), type, i), reference = load_float(expected.data(), type, i);
      if (value != reference && !(std::isnan(value) && std::isnan(reference))) fail(kernel.name, "not the reference's number");
    }
  }
  return 0;
}
