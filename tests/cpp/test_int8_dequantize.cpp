// Every int8_dequantize kernel: what all formats owe (dequantize_suite.h), and unusual scales.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/dequantize_suite.h"
#include "tests/cpp/int8_problem.h"
#include "tests/cpp/kernels.h"

namespace torchao_ops::test {
namespace {

struct Int8 {
  using Problem = Int8Problem;
  using Args = Int8DequantizeArgs;
  static std::vector<Int8DequantizeKernel> kernels() { return int8_dequantize_kernels(); }
  static void reference(const Args& args) { int8_dequantize_ref(args); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Int8, Dequantize, Int8);

using Int8Dequantize = Dequantize<Int8>;

// All codes with scales from subnormal to infinite and NaN.
TEST_F(Int8Dequantize, UnusualScales) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {0, -0.0, 1, -1, 7.5, 1e-45, 1e-40, 6e-8, 1e-4, 65504, 1e30, 3e38, infinity, -infinity, std::nan("")};
  for (const int64_t group_size : {16, 32, 33}) {
    for (int64_t i = 0; i < case_count(20); ++i) {
      MmCase c;
      c.N = 16;
      c.K = static_cast<int64_t>(std::size(values)) * group_size;
      c.group_size = group_size;
      Int8Problem problem(with_random_types(c, random_));
      for (int64_t n = 0; n < c.N; ++n) {
        for (int64_t k = 0; k < c.K; ++k) problem.set_code(n, k, (k + 17 * n) % 256 - 128);
        for (int64_t g = 0; g < c.G(); ++g) problem.set_scale(n, g, values[(g + n) % c.G()]);
      }
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
