// What every dequantize kernel owes, whatever the weight's format: the reference's numbers, bit for bit, NaN apart.
//
// A format's test file instantiates the suite with a type that has Problem, Args, kernels() and reference(args).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_problem.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

template <class Format>
class Dequantize : public testing::Test {
 protected:
  // Dequantizes the problem's weight with every kernel and every type of result.
  void expect_equal_in(typename Format::Problem& problem) {
    const MmCase& c = problem.shape();
    for (const FloatType out_type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
      const int64_t bytes = c.N * c.K * size_of(out_type);
      std::vector<uint8_t> expected(static_cast<size_t>(bytes));
      Format::reference({problem.args().weight, expected.data(), out_type});
      GuardedBuffer out(bytes, c.placement);
      for (const auto& kernel : kernels_) {
        const typename Format::Args args{problem.args().weight, out.data(), out_type};
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

  const std::vector<Kernel<typename Format::Args>> kernels_ = Format::kernels();
  Random random_{0};
};

TYPED_TEST_SUITE_P(Dequantize);

TYPED_TEST_P(Dequantize, EveryLengthAndGroupSize) {
  for (const int64_t K :
       {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 130, 255, 256, 257, 512, 1000}) {
    for (const int64_t group_size : {1, 2, 3, 7, 8, 16, 31, 32, 33, 48, 64, 96, 100, 128, 256, 1024}) {
      if (!is_selected(this->random_)) continue;
      typename TypeParam::Problem problem(with_random_types({0, 3, K, group_size}, this->random_));
      problem.fill_ordinary(this->random_);
      this->expect_equal_in(problem);
      if (this->HasFatalFailure()) return;
    }
  }
}

TYPED_TEST_P(Dequantize, RandomShapes) {
  for (int64_t i = 0; i < case_count(100); ++i) {
    typename TypeParam::Problem problem(random_case(this->random_, 200000));
    problem.fill_ordinary(this->random_);
    this->expect_equal_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

REGISTER_TYPED_TEST_SUITE_P(Dequantize, EveryLengthAndGroupSize, RandomShapes);

}  // namespace
}  // namespace torchao_ops::test
