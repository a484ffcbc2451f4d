// Every nf4_dequantize kernel: what all formats owe (dequantize_suite.h), and all codes with unusual absmax.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/dequantize_suite.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/nf4_problem.h"

namespace torchao_ops::test {
namespace {

struct Nf4 {
  using Problem = Nf4Problem;
  using Args = Nf4DequantizeArgs;
  static std::vector<Nf4DequantizeKernel> kernels() { return nf4_dequantize_kernels(); }
  static void reference(const Args& args) { nf4_dequantize_ref(args); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Nf4, Dequantize, Nf4);

using Nf4Dequantize = Dequantize<Nf4>;

// All codes with absmax from subnormal to infinite and NaN.
TEST_F(Nf4Dequantize, UnusualAbsmax) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {0, -0.0, 1, -1, 7.5, 1e-45, 1e-40, 6e-8, 1e-4, 65504, 1e30, 3e38, infinity, -infinity, std::nan("")};
  for (const int64_t block_size : {32, 64, 128}) {
    for (int64_t i = 0; i < case_count(20); ++i) {
      MmCase c;
      c.N = 16;
      c.K = static_cast<int64_t>(std::size(values)) * block_size;
      c.group_size = block_size;
      Nf4Problem problem(with_random_types(c, random_));
      for (int64_t n = 0; n < c.N; ++n) {
        for (int64_t k = 0; k < c.K; ++k) problem.set_code(n, k, (k * 7 + n) % 16);
        for (int64_t g = 0; g < c.G(); ++g) problem.set_scale(n, g, values[(g + n) % c.G()]);
      }
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}

// More than any number of elements that is treated at once, with a last block that is partial, and an odd number.
TEST_F(Nf4Dequantize, LargeWeights) {
  for (const int64_t block_size : {32, 64, 4096, 1 << 20}) {
    for (const int64_t K : {1000, 1001}) {
      Nf4Problem problem(with_random_types({0, 301, K, block_size}, random_));
      problem.fill_ordinary(random_);
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}

#ifndef TORCHAO_OPS_TEST_CUDA  // where it would take minutes and show nothing
// What is written past the caches: 16 MiB and more, in fp32 only or in all types, with and without a partial last vector.
TEST_F(Nf4Dequantize, ResultsLargerThanCaches) {
  for (const int64_t N : {1 << 11, (1 << 12) + 1}) {
    for (const Placement placement : {Placement::starts_at_guard, Placement::ends_at_guard}) {
      MmCase c{0, N, placement == Placement::ends_at_guard ? 2048 : 2049, random_.one_of<int64_t>({32, 64, 1 << 20})};
      c.placement = placement;
      c.threads = 2;
      c.nested = N > 1 << 11;
      Nf4Problem problem(c);
      for (int64_t n = 0; n < N; ++n) {
        for (int64_t k = 0; k < c.K; ++k) problem.set_code(n, k, static_cast<int64_t>(random_.bits() % 16));
        for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_scale(n, g, 0.25 * static_cast<double>(n % 100 + g));
      }
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}
#endif

}  // namespace
}  // namespace torchao_ops::test
