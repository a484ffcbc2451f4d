// Any sizes, types and bit patterns through every nf4_quantize and nf4_quantize_absmax kernel: the reference's bytes, no access outside the operands.
#include "csrc/spec/nf4_quantize.h"
#include "csrc/spec/nf4_quantize_absmax.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

template <class Args>
void run(const std::vector<Kernel<Args>>& kernels, void (*reference)(const Args&), const Args& args,
         const std::vector<const Block*>& results, Input& input) {
  reference(args);
  std::vector<std::vector<uint8_t>> expected;
  for (const Block* result : results) expected.push_back(result->copy());
  for (const Kernel<Args>& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    for (size_t i = 0; i < results.size(); ++i) {
      if (results[i]->copy() != expected[i]) fail(kernel.name, "not the reference's bytes");
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const bool of_absmax = input.byte() % 2 != 0;
  const int64_t count = input.below(3000), group_size = input.group_size();
  const FloatType type = input.float_type();
  const Block source(count * size_of(type), input);
  if (of_absmax) {
    const Block codes(count, input), code(256 * 4, input), nested(ceil_div(count, group_size) * 4, input), offset(4, input);
    auto floats = [](const Block& block) { return reinterpret_cast<float*>(block.data()); };
    static const std::vector<Nf4QuantizeAbsmaxKernel> kernels = nf4_quantize_absmax_kernels();
    run(kernels, nf4_quantize_absmax_ref,
        Nf4QuantizeAbsmaxArgs{source.data(), type, count, group_size, codes.data(), floats(code), floats(nested), floats(offset)},
        {&codes, &code, &nested, &offset}, input);
  } else {
    const int64_t block_size = input.nf4_block_size();
    const Block packed(nf4::packed_bytes(count), input), absmax(ceil_div(count, block_size) * 4, input);
    static const std::vector<Nf4QuantizeKernel> kernels = nf4_quantize_kernels();
    run(kernels, nf4_quantize_ref,
        Nf4QuantizeArgs{source.data(), type, count, block_size, packed.data(), reinterpret_cast<float*>(absmax.data())},
        {&packed, &absmax}, input);
  }
  return 0;
}
