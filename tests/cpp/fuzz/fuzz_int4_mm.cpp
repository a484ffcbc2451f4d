// Any sizes, types and bit patterns through every int4_mm and int4_dynamic_mm kernel: no undefined behaviour, no access outside the operands, the
// same result for one thread as for three, and no finite result where the reference has none, or the other way round.
#include <cmath>

#include "csrc/spec/int4_mm.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

// Largest magnitude that a sum or a product takes on its way to y: where it is finite in fp32, so is everything that a kernel may compute.
bool may_overflow(const Int4MmArgs& args) {
  const int4::Weight& w = args.weight;
  double x_max = 0, scale_max = 0, zero_max = 15;
  for (int64_t m = 0; m < args.mm.M; ++m)
    for (int64_t k = 0; k < w.K; ++k)
      x_max = std::fmax(x_max, std::fabs(load_float(args.mm.x, args.mm.x_type, m * args.mm.x_row_stride + k)));
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t g = 0; g < group_count(w.K, w.group_size); ++g) {
      scale_max = std::fmax(scale_max, std::fabs(w.scale_at(n, g)));
      zero_max = std::fmax(zero_max, std::fabs(w.zero_point_at(n, g)));
    }
  }
  const double largest_y = args.mm.x_type == FloatType::f16 ? 65504 : 3e38;
  double bias_max = 0;
  for (int64_t n = 0; n < w.N && args.mm.bias != nullptr; ++n)
    bias_max = std::fmax(bias_max, std::fabs(load_float(args.mm.bias, args.mm.bias_type, n)));
  return !(x_max * scale_max * zero_max * 2 * static_cast<double>(w.K + 1) + bias_max < largest_y / 4 &&
           scale_max * zero_max * 2 < 1e38);
}

void run(const std::vector<Int4MmKernel>& kernels, void (*reference)(const Int4MmArgs&, double*), const Int4MmArgs& args,
         const Block& y) {
  const int64_t results = args.mm.M * args.weight.N;
  std::vector<double> expected(static_cast<size_t>(results));
  reference(args, expected.data());
  const bool compare = !may_overflow(args);
  for (const Int4MmKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, Parallel{}) != Status::ok) fail(kernel.name, "not ok");
    const std::vector<uint8_t> once = y.copy();
    if (kernel.run(args, std_threads(3)) != Status::ok) fail(kernel.name, "not ok with three threads");
    // NaN has many representations, of which any may come out.
    for (int64_t i = 0; i < results; ++i) {
      const float value = load_float(y.data(), args.mm.x_type, i), before = load_float(once.data(), args.mm.x_type, i);
      if (value != before && !(std::isnan(value) && std::isnan(before))) fail(kernel.name, "three threads give another result");
      if (compare && std::isfinite(value) != std::isfinite(expected[i]))
        fail(kernel.name, "finite where the reference is not, or not where it is");
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const bool dynamic = input.byte() % 2 != 0;
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedWeight weight(N, K, input);
  Int4MmArgs args{};
  args.weight = weight.view;
  args.mm.M = M;
  args.mm.x_type = input.float_type();
  args.mm.x_row_stride = K + input.below(4);
  args.mm.bias_type = input.float_type();
  const bool has_bias = input.byte() % 2 != 0;
  const Block x(M == 0 ? 0 : ((M - 1) * args.mm.x_row_stride + K) * size_of(args.mm.x_type), input);
  const Block bias(N * size_of(args.mm.bias_type), input);
  const Block y(M * N * size_of(args.mm.x_type), input);
  args.mm.x = x.data();
  args.mm.bias = has_bias ? bias.data() : nullptr;
  args.mm.y = y.data();
  static const std::vector<Int4MmKernel> products = int4_mm_kernels(), dynamic_products = int4_dynamic_mm_kernels();
  run(dynamic ? dynamic_products : products, dynamic ? int4_dynamic_mm_ref : int4_mm_ref, args, y);
  return 0;
}
