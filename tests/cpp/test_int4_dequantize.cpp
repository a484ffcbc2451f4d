// Every int4_dequantize kernel: what all formats owe (dequantize_suite.h), and unusual scales and zero points.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/dequantize_suite.h"
#include "tests/cpp/int4_problem.h"
#include "tests/cpp/kernels.h"

namespace torchao_ops::test {
namespace {

struct Int4 {
  using Problem = Int4Problem;
  using Args = Int4DequantizeArgs;
  static std::vector<Int4DequantizeKernel> kernels() { return int4_dequantize_kernels(); }
  static void reference(const Args& args) { int4_dequantize_ref(args); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Int4, Dequantize, Int4);

using Int4Dequantize = Dequantize<Int4>;

// All codes with scales and zero points from subnormal to infinite and NaN.
TEST_F(Int4Dequantize, UnusualScalesAndZeroPoints) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {0, -0.0, 1, -1, 7.5, 1e-45, 1e-40, 6e-8, 1e-4, 65504, 1e30, 3e38, infinity, -infinity, std::nan("")};
  for (const int64_t group_size : {16, 32, 33}) {
    for (int64_t i = 0; i < case_count(20); ++i) {
      Int4Case c;
      c.N = static_cast<int64_t>(std::size(values));
      c.K = c.N * group_size;
      c.group_size = group_size;
      Int4Problem problem(with_random_types(c, random_));
      for (int64_t n = 0; n < c.N; ++n) {
        for (int64_t k = 0; k < c.K; ++k) problem.set_code(n, k, (k + n) % 16);
        for (int64_t g = 0; g < c.N; ++g) {
          problem.set_scale(n, g, values[n]);
          problem.set_zero_point(n, g, values[g]);
        }
      }
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
