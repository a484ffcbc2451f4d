// Any sizes, types and bit patterns through every sparse24_decompress kernel: the reference's bytes, no access outside the operands.
#include "csrc/spec/sparse24_decompress.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const int64_t N = input.below(20), K = input.size();
  const FuzzedSparse24Weight weight(N, K, false, input);
  const Block out(N * K * size_of(weight.type), input);
  int64_t violation = -2;
  const Sparse24DecompressArgs args{weight.view, out.data(), &violation};
  sparse24_decompress_ref(args);
  const int64_t expected_violation = violation;
  const std::vector<uint8_t> expected = out.copy();
  static const std::vector<Sparse24DecompressKernel> kernels = sparse24_decompress_kernels();
  for (const Sparse24DecompressKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    if (violation != expected_violation) fail(kernel.name, "not the reference's violation");
    if (violation < 0 && out.copy() != expected) fail(kernel.name, "not the reference's weight");
  }
  return 0;
}
