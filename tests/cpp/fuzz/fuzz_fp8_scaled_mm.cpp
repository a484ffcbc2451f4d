// Any sizes, types and bit patterns through every fp8_scaled_mm kernel: no undefined behaviour, no access outside the operands, the same result for one
// thread as for three, and no finite result where the reference has none, or the other way round.
#include <cmath>

#include "csrc/spec/fp8_scaled_mm.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

// The largest magnitude of a matrix, NaN and Inf left out.
double largest(const fp8::Weight& w) {
  double result = 0;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      const double value = std::fabs(double{w.number(n, k)} * w.scale_at(n, k / w.group_size));
      if (std::isfinite(value)) result = std::fmax(result, value);
    }
  }
  return result;
}

}  // namespace
}  // namespace torchao_ops::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const int64_t M = input.below(input.byte() % 4 == 0 ? 70 : 6), N = input.below(40), K = input.size();
  const FuzzedFp8Weight a(M, K, input), b(N, K, input);
  const FloatType bias_type = input.float_type(), y_type = input.float_type();
  const Block bias(N * size_of(bias_type), input), y(M * N * size_of(y_type), input);
  const Fp8ScaledMmArgs args{a.view, b.view, input.byte() % 2 == 0 ? bias.data() : nullptr, bias_type, y.data(), y_type};
  std::vector<double> expected(static_cast<size_t>(M * N));
  fp8_scaled_mm_ref(args, expected.data());
  double bias_max = 0;
  for (int64_t n = 0; n < N && args.bias != nullptr; ++n)
    bias_max = std::fmax(bias_max, std::fabs(load_float(args.bias, bias_type, n)));
  const double a_max = largest(a.view), b_max = largest(b.view), y_max = y_type == FloatType::f16 ? 65504 : 3e38;
  const bool compare = a_max < 1e38 && b_max < 1e38 && a_max * b_max * static_cast<double>(K + 1) + bias_max < y_max / 4;
  static const std::vector<Fp8ScaledMmKernel> kernels = fp8_scaled_mm_kernels();
  for (const Fp8ScaledMmKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, Parallel{}) != Status::ok) fail(kernel.name, "not ok");
    const std::vector<uint8_t> once = y.copy();
    if (kernel.run(args, std_threads(3)) != Status::ok) fail(kernel.name, "not ok with three threads");
    for (int64_t i = 0; i < M * N; ++i) {
      const float value = load_float(y.data(), y_type, i), before = load_float(once.data(), y_type, i);
      if (value != before && !(std::isnan(value) && std::isnan(before))) fail(kernel.name, "three threads give another result");
      if (compare && std::isfinite(value) != std::isfinite(expected[i]))
        fail(kernel.name, "finite where the reference is not, or not where it is");
    }
  }
  return 0;
}
