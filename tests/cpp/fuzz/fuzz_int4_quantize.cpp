// Any sizes, types and bit patterns through every int4_quantize kernel: the reference's bytes, no access outside the operands.
#include "csrc/spec/int4_quantize.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  Int4QuantizeArgs args{};
  args.N = input.below(20);
  args.K = input.size();
  args.group_size = input.group_size();
  args.type = input.float_type();
  args.symmetric = input.byte() % 2 != 0;
  args.weight_row_stride = args.K + input.below(4);
  const int64_t group_bytes = args.N * group_count(args.K, args.group_size) * size_of(args.type);
  const Block weight(args.N == 0 ? 0 : ((args.N - 1) * args.weight_row_stride + args.K) * size_of(args.type), input);
  const Block packed(args.N * int4::packed_columns(args.K), input), scale(group_bytes, input), zero_point(group_bytes, input);
  args.weight = weight.data();
  args.packed = packed.data();
  args.scale = scale.data();
  args.zero_point = zero_point.data();
  int4_quantize_ref(args);
  const std::vector<uint8_t> expected_packed = packed.copy(), expected_scale = scale.copy(),
                             expected_zero_point = zero_point.copy();
  static const std::vector<Int4QuantizeKernel> kernels = int4_quantize_kernels();
  for (const Int4QuantizeKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    if (packed.copy() != expected_packed) fail(kernel.name, "not the reference's codes");
    if (scale.copy() != expected_scale) fail(kernel.name, "not the reference's scales");
    if (zero_point.copy() != expected_zero_point) fail(kernel.name, "not the reference's zero points");
  }
  return 0;
}
