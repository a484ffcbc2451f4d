// Every int8_dequantize kernel against the reference: bit for bit, NaN apart.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/cpp/int8_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

class Int8Dequantize : public testing::Test {
 protected:
  // Dequantizes the problem's weight with every kernel and every type of result.
  void expect_equal_in(Int8Problem& problem) {
    const MmCase& c = problem.shape();
    for (const FloatType out_type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
      const int64_t bytes = c.N * c.K * size_of(out_type);
      std::vector<uint8_t> expected(static_cast<size_t>(bytes));
      int8_dequantize_ref({problem.args().weight, expected.data(), out_type});
      GuardedBuffer out(bytes, c.placement);
      for (const Int8DequantizeKernel& kernel : kernels_) {
        const Int8DequantizeArgs args{problem.args().weight, out.data(), out_type};
        if (!takes(kernel, args)) continue;
        const std::string description = std::string(kernel.name) + " to " + name_of(out_type) + " " + text_of(c);
        SCOPED_TRACE(description);
        describe_current_case(description.c_str());
        out.fill_with_pattern();
        problem.set_writable(false);
        const Status status = kernel.run(args, std_threads(c.threads));
        problem.set_writable(true);
        ASSERT_EQ(status, Status::ok);
        ASSERT_TRUE(out.slack_is_untouched()) << "wrote outside the result";
        for (int64_t i = 0; i < c.N * c.K; ++i) {
          const float value = load_float(out.data(), out_type, i), reference = load_float(expected.data(), out_type, i);
          if (std::isnan(reference) && std::isnan(value)) continue;
          ASSERT_EQ(std::memcmp(&value, &reference, sizeof(value)), 0)
              << "w[" << i / c.K << ", " << i % c.K << "] is " << value << ", not " << reference;
        }
      }
    }
  }

  const std::vector<Int8DequantizeKernel> kernels_ = int8_dequantize_kernels();
  Random random_{0};
};

TEST_F(Int8Dequantize, EveryLengthAndGroupSize) {
  for (const int64_t K :
       {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 130, 255, 256, 257, 512, 1000}) {
    for (const int64_t group_size : {1, 2, 3, 7, 8, 16, 31, 32, 33, 48, 64, 96, 100, 128, 256, 1024}) {
      if (!is_selected(random_)) continue;
      Int8Problem problem(with_random_types({0, 3, K, group_size}, random_));
      problem.fill_ordinary(random_);
      expect_equal_in(problem);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Int8Dequantize, RandomShapes) {
  for (int64_t i = 0; i < case_count(100); ++i) {
    Int8Problem problem(random_case(random_, 200000));
    problem.fill_ordinary(random_);
    expect_equal_in(problem);
    if (HasFatalFailure()) return;
  }
}

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
