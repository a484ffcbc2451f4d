// Any sizes, types and bit patterns through every fp8_quantize kernel: the reference's bytes, no access outside the operands.
#include "csrc/spec/fp8_quantize.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  Fp8QuantizeArgs args{};
  args.N = input.below(20);
  args.K = input.size();
  args.group_size = input.group_size();
  args.row_block = input.row_block();
  args.code_type = input.float8_type();
  args.type = input.float_type();
  args.input_row_stride = args.K + input.below(4);
  const Block x(args.N == 0 ? 0 : ((args.N - 1) * args.input_row_stride + args.K) * size_of(args.type), input);
  const Block codes(args.N * args.K, input),
      scale(ceil_div(args.N, args.row_block) * group_count(args.K, args.group_size) * size_of(args.type), input);
  args.input = x.data();
  args.codes = codes.data();
  args.scale = scale.data();
  fp8_quantize_ref(args);
  const std::vector<uint8_t> expected_codes = codes.copy(), expected_scale = scale.copy();
  static const std::vector<Fp8QuantizeKernel> kernels = fp8_quantize_kernels();
  for (const Fp8QuantizeKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    if (codes.copy() != expected_codes) fail(kernel.name, "not the reference's codes");
    if (scale.copy() != expected_scale) fail(kernel.name, "not the reference's scales");
  }
  return 0;
}
