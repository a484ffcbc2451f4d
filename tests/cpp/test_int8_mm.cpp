// Every int8_mm and int8_dynamic_mm kernel: what all products owe (mm_suite.h), and what int8 owes besides.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/cpp/int8_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"

namespace torchao_ops::test {
namespace {

struct Int8Mm {
  using Problem = Int8Problem;
  using Kernel = Int8MmKernel;
  static constexpr const char* name = "int8_mm";
  static constexpr bool dynamic = false;
  static constexpr int64_t zero_code = 0;
  static std::vector<Kernel> kernels() { return int8_mm_kernels(); }
  static void reference(const Int8MmArgs& args, double* y) { int8_mm_ref(args, y); }
};

struct Int8DynamicMm : Int8Mm {
  static constexpr const char* name = "int8_dynamic_mm";
  static constexpr bool dynamic = true;
  static std::vector<Kernel> kernels() { return int8_dynamic_mm_kernels(); }
  static void reference(const Int8MmArgs& args, double* y) { int8_dynamic_mm_ref(args, y); }
};

using Both = testing::Types<Int8Mm, Int8DynamicMm>;
INSTANTIATE_TYPED_TEST_SUITE_P(Int8, Mm, Both, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Int8, WeightOnlyMm, Int8Mm, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Int8, DynamicMm, Int8DynamicMm, OperatorNames);

// What spec/int8_mm.h says of a row that is one group.
std::vector<uint8_t> exact_results(const Int8Problem& problem) {
  const MmCase& c = problem.shape();
  const int8::Weight w = problem.args().weight;
  std::vector<uint8_t> y(static_cast<size_t>(c.M * c.N * size_of(c.x_type)));
  for (int64_t m = 0; m < c.M; ++m) {
    float max_magnitude = 0;
    for (int64_t k = 0; k < c.K; ++k) max_magnitude = std::fmax(max_magnitude, std::fabs(problem.x(m, k)));
    const float x_scale = max_magnitude / 127.0f;
    for (int64_t n = 0; n < c.N; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.K; ++k) {
        const float q = x_scale == 0.0f ? 0.0f : std::nearbyint(problem.x(m, k) / x_scale);
        sum += static_cast<int64_t>(std::fmin(std::fmax(q, -127.0f), 127.0f)) * w.code(n, k);
      }
      const float scaled = static_cast<float>(sum) * w.scale_at(n, 0);
      store_float(scaled * x_scale + problem.bias(n), y.data(), c.x_type, m * c.N + n);
    }
  }
  return y;
}

class Int8RowScales : public Mm<Int8DynamicMm> {
 protected:
  void expect_exact_results(Int8Problem& problem) {
    const std::vector<uint8_t> expected = exact_results(problem);
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { ASSERT_TRUE(same_bytes(y, expected)); });
  }
};

TEST_F(Int8RowScales, GiveTheSameBitsEverywhere) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    MmCase c = random_case(random_, 100000);
    if (c.K == 0) continue;
    c.group_size = random_.one_of<int64_t>({c.K, c.K + 1, INT64_MAX});
    Int8Problem problem(c);
    problem.fill_ordinary(random_);
    expect_exact_results(problem);
    if (HasFatalFailure()) return;
  }
}

// The largest products there are, all of one sign or alternating: nothing saturates, nothing wraps.
TEST_F(Int8RowScales, LargestProducts) {
  for (const int64_t K : {int64_t{1}, int64_t{2}, int64_t{31}, int64_t{33}, int64_t{64}, int64_t{1000}, int64_t{66000},
                          int8_exact_k - 1, int8_exact_k}) {
    for (const int64_t M : {1, 3, 17}) {
      if (K > 1000 && M == 3) continue;
      Int8Problem problem({M, 8, K, INT64_MAX});
      for (int64_t m = 0; m < M; ++m)
        for (int64_t k = 0; k < K; ++k) problem.set_x(m, k, (m % 2 == 0 ? 1 : -1) * (m % 3 == 2 && k % 2 != 0 ? -127 : 127));
      for (int64_t n = 0; n < 8; ++n) {
        for (int64_t k = 0; k < K; ++k) problem.set_code(n, k, n < 4 || k % 2 == 0 ? -128 : 127);
        problem.set_scale(n, 0, 1);
      }
      expect_exact_results(problem);
      if (HasFatalFailure()) return;
    }
  }
}

// Beyond int8_exact_k sums are near the reference, as those of groups are, and do not wrap.
TEST_F(Int8RowScales, RowsLongerThanAnExactSum) {
  for (const int64_t K : {int8_exact_k + 1, int64_t{2200000}}) {
    Int8Problem problem({1, 2, K, INT64_MAX});
    for (int64_t k = 0; k < K; ++k) problem.set_x(0, k, k % 1000 == 0 ? -127 : 127);
    for (int64_t n = 0; n < 2; ++n) {
      for (int64_t k = 0; k < K; ++k) problem.set_code(n, k, n == 0 ? -128 : 127);
      problem.set_scale(n, 0, 1);
    }
    expect_near_in(problem);
  }
}

}  // namespace
}  // namespace torchao_ops::test
