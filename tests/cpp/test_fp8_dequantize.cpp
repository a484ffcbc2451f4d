// Every fp8_dequantize kernel: what all formats owe (dequantize_suite.h), and all codes with unusual scales.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/dequantize_suite.h"
#include "tests/cpp/fp8_problem.h"
#include "tests/cpp/kernels.h"

namespace torchao_ops::test {
namespace {

struct Fp8 {
  using Problem = Fp8Problem;
  using Args = Fp8DequantizeArgs;
  static std::vector<Fp8DequantizeKernel> kernels() { return fp8_dequantize_kernels(); }
  static void reference(const Args& args) { fp8_dequantize_ref(args); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Fp8, Dequantize, Fp8);

using Fp8Dequantize = Dequantize<Fp8>;

// All 256 codes at each place of a vector, with scales from subnormal to infinite and NaN.
TEST_F(Fp8Dequantize, AllCodesAndUnusualScales) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {0, -0.0, 1, -1, 7.5, 1e-45, 1e-40, 6e-8, 1e-4, 65504, 1e30, 3e38, infinity, -infinity, std::nan("")};
  for (const Float8Type type : {Float8Type::e4m3fn, Float8Type::e5m2}) {
    for (const int64_t group_size : {256, 257, 300}) {
      for (int64_t i = 0; i < case_count(10); ++i) {
        MmCase c;
        c.N = 16;
        c.K = static_cast<int64_t>(std::size(values)) * group_size;
        c.group_size = group_size;
        c = with_random_types(c, random_);
        c.float8_type = type;
        Fp8Problem problem(c);
        for (int64_t n = 0; n < c.N; ++n) {
          for (int64_t k = 0; k < c.K; ++k) problem.set_byte(n, k, static_cast<uint8_t>(k + 17 * n));
          for (int64_t g = 0; g < c.G(); ++g) problem.set_scale(n, g, values[(g + n) % c.G()]);
        }
        expect_equal_in(problem);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
