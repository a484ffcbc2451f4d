// Every sparse24_mm and sparse24_dynamic_mm kernel: what all products owe (mm_suite.h), and what 2:4 sparse weights owe besides.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"
#include "tests/cpp/sparse24_problem.h"

namespace torchao_ops::test {
namespace {

using sparse24::ValueType;
constexpr ValueType value_types[] = {ValueType::f32, ValueType::f16, ValueType::bf16, ValueType::int8, ValueType::e4m3fn};

struct Sparse24Mm {
  using Problem = Sparse24Problem;
  using Kernel = Sparse24MmKernel;
  static constexpr const char* name = "sparse24_mm";
  static constexpr bool dynamic = false;
  static constexpr int64_t zero_code = 0;
  static std::vector<Kernel> kernels() { return sparse24_mm_kernels(); }
  static void reference(const Sparse24MmArgs& args, double* y) { sparse24_mm_ref(args, y); }
};

struct Sparse24DynamicMm : Sparse24Mm {
  using Problem = Sparse24DynamicProblem;
  static constexpr const char* name = "sparse24_dynamic_mm";
  static constexpr bool dynamic = true;
  static std::vector<Kernel> kernels() { return sparse24_dynamic_mm_kernels(); }
  static void reference(const Sparse24MmArgs& args, double* y) { sparse24_dynamic_mm_ref(args, y); }
};

using Both = testing::Types<Sparse24Mm, Sparse24DynamicMm>;
INSTANTIATE_TYPED_TEST_SUITE_P(Sparse24, Mm, Both, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Sparse24, WeightOnlyMm, Sparse24Mm, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Sparse24, DynamicMm, Sparse24DynamicMm, OperatorNames);

template <class Operator>
class Sparse24 : public Mm<Operator> {
 protected:
  using Problem = typename Operator::Problem;

  // Runs every kernel and hands its result and the violation that it reports to check(y, violation).
  template <class Check>
  void expect_violations(Problem& problem, const Check& check) {
    this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { check(y, problem.violation()); });
  }
};
TYPED_TEST_SUITE(Sparse24, Both, OperatorNames);

// Every choice of elements in each place of a row, with each value type: every element of x is another number.
TYPED_TEST(Sparse24, EveryChoiceOfElements) {
  for (const ValueType type : value_types) {
    for (const int64_t K : selected_of<int64_t>({8, 72, 136, 256}, this->random_)) {
      MmCase c{3, 128, K, INT64_MAX};
      c.value_type = type;
      typename TypeParam::Problem problem(c);
      for (int64_t n = 0, choice = 0; n < c.N; ++n) {
        for (int64_t quad = 0; quad < K / 4; ++quad) {
          const int64_t this_choice = quad % 2 == 0 ? choice % 16 : choice / 16 % 16;
          problem.set_bits(n, quad, sparse24::kept(static_cast<int>(this_choice)) > 2 ? 0x9 : static_cast<int>(this_choice));
          if (quad % 2 != 0) ++choice;
        }
      }
      problem.fill_exact(this->random_, TypeParam::dynamic);
      const std::vector<double> reference = reference_of<TypeParam>(problem);
      this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
      if (this->HasFatalFailure()) return;
    }
  }
}

// Every number that a value can be, the bits of 16-bit and 32-bit types at random; NaN and Inf among them.
TYPED_TEST(Sparse24, EveryValue) {
  for (const ValueType type : value_types) {
    for (const int64_t M : selected_of<int64_t>({1, 3, 20}, this->random_)) {
      MmCase c{M, 256, 4, INT64_MAX};
      c.value_type = type;
      typename TypeParam::Problem problem(c);
      problem.fill_ordinary(this->random_);
      for (int64_t n = 0; n < c.N; ++n) {
        for (int64_t i = 0; i < 2 * sparse24::size_of(problem.shape().value_type); ++i) {
          problem.slot(n, 0)[i] = static_cast<uint8_t>(i == 0 ? n : this->random_.integer(0, 255));
        }
      }
      // NaN and the infinities are told apart by an x of one sign.
      this->expect_near_in(problem, TypeParam::dynamic ? NonFinite::any : NonFinite::same_class);
      if (this->HasFatalFailure()) return;
    }
  }
}

// Without a scale, numbers as models have them.
TEST(Sparse24WithoutScale, IsNearTheReference) {
  Random random(0);
  for (int64_t i = 0; i < case_count(200); ++i) {
    MmCase c = random_case(random, 100000);
    c.value_type = random.one_of({ValueType::f32, ValueType::f16, ValueType::bf16});
    Sparse24Problem problem(c);
    problem.fill_ordinary(random);
    for (int64_t n = 0; n < c.N; ++n)
      for (int64_t k = 0; k < c.K; ++k) problem.set_value(n, k, static_cast<float>(0.02 * random.normal()));
    Sparse24Problem scaled(c);
    scaled.copy_weight(problem);
    for (int64_t n = 0; n < c.N; ++n) scaled.set_scale(n, 0, 1);
    for (int64_t m = 0; m < c.M; ++m)
      for (int64_t k = 0; k < c.K; ++k) scaled.set_x(m, k, problem.x(m, k));
    const std::vector<double> reference = reference_of<Sparse24Mm>(scaled), bound = error_bound<Sparse24Mm>(scaled);
    for (const Sparse24MmKernel& kernel : sparse24_mm_kernels()) {
      Sparse24MmArgs args = problem.args();
      args.weight.scale = nullptr;
      if (!takes(kernel, args)) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + text_of(c));
      std::vector<uint8_t> y(static_cast<size_t>(c.M * c.N * size_of(c.x_type)));
      args.mm.y = y.data();
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      expect_near(y, reference, bound, c);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// A scale that brings products that are beyond fp32 back to ordinary numbers, or that are below it.
TEST(Sparse24Scale, MayBeFarFromOne) {
  Random random(0);
  for (const ValueType type : {ValueType::f32, ValueType::bf16}) {
    for (const double magnitude : {0x1p-120, 0x1p-60, 0x1p60, 0x1p120}) {
      for (const int64_t M : {1, 3, 20}) {
        MmCase c{M, 20, 100, INT64_MAX};
        c.value_type = type;
        c.bias_type = FloatType::f32;
        Sparse24Problem problem(c);
        problem.fill_ordinary(random);
        for (int64_t n = 0; n < c.N; ++n) {
          problem.set_scale(n, 0, 1 / magnitude);
          for (int64_t k = 0; k < c.K; ++k) problem.set_value(n, k, static_cast<float>(magnitude * random.normal()));
        }
        for (int64_t m = 0; m < M; ++m)
          for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, problem.x(m, k) * (magnitude > 1 ? 0x1p20 : 0x1p-20));
        const std::vector<double> reference = reference_of<Sparse24Mm>(problem), bound = error_bound<Sparse24Mm>(problem);
        for (const Sparse24MmKernel& kernel : sparse24_mm_kernels()) {
          if (!takes(kernel, problem.args())) continue;
          SCOPED_TRACE(std::string(kernel.name) + " magnitude " + std::to_string(magnitude) + " " + text_of(c));
          expect_near(problem.run(kernel.name, kernel.run, Parallel{}), reference, bound, c);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

// A quad that keeps three or four: the first one is reported, its column is NaN, and the others are what they were.
TYPED_TEST(Sparse24, ReportsTheFirstViolation) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    MmCase c = random_case(this->random_, 100000);
    if (c.M == 0 || c.N == 0 || c.K < 3) continue;
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    this->expect_violations(problem, [&](const std::vector<uint8_t>&, int64_t violation) { EXPECT_EQ(violation, -1); });
    const int64_t quads = sparse24::quads(c.K), whole_quads = (c.K + 1) / 4;
    int64_t first = INT64_MAX;
    for (int64_t count = this->random_.integer(1, 3); count > 0; --count) {
      const int64_t n = this->random_.integer(0, c.N - 1), quad = this->random_.integer(0, whole_quads - 1);
      const int bits = this->random_.one_of({0x7, 0xb, 0xd, 0xe, 0xf});
      problem.set_bits(n, quad, c.K - 4 * quad < 4 ? 0x7 : bits);
      first = std::min(first, n * quads + quad);
    }
    const std::vector<double> reference = reference_of<TypeParam>(problem), bound = error_bound<TypeParam>(problem);
    this->expect_violations(problem, [&](const std::vector<uint8_t>& y, int64_t violation) {
      EXPECT_EQ(violation, first);
      expect_near(y, reference, bound, problem.shape());
    });
    if (this->HasFatalFailure()) return;
  }
}

// Without a place for it, a violation is NaN and nothing else.
TYPED_TEST(Sparse24, ReportsNoViolationWhereNoneIsAskedFor) {
  typename TypeParam::Problem problem({2, 9, 40, INT64_MAX});
  problem.fill_ordinary(this->random_);
  problem.set_bits(4, 3, 0xf);
  for (const auto& kernel : this->kernels_) {
    auto args = problem.args();
    args.violation = nullptr;
    if (!takes(kernel, args)) continue;
    SCOPED_TRACE(kernel.name);
    std::vector<uint8_t> y(2 * 9 * 4);
    args.mm.y = y.data();
    ASSERT_EQ(kernel.run(args, Parallel{}), Status::ok);
    for (int64_t j = 0; j < 18; ++j) EXPECT_EQ(std::isnan(y_at(y, FloatType::f32, j)), j % 9 == 4);
  }
}

// What spec/sparse24_mm.h says of int8 values.
std::vector<uint8_t> exact_results(const Sparse24Problem& problem) {
  const MmCase& c = problem.shape();
  const sparse24::Weight w = problem.weight();
  std::vector<uint8_t> y(static_cast<size_t>(c.M * c.N * size_of(c.x_type)));
  for (int64_t m = 0; m < c.M; ++m) {
    float max_magnitude = 0;
    for (int64_t k = 0; k < c.K; ++k) max_magnitude = std::fmax(max_magnitude, std::fabs(problem.x(m, k)));
    const float x_scale = max_magnitude / 127.0f;
    std::vector<int64_t> q(static_cast<size_t>(c.K));
    for (int64_t k = 0; k < c.K && x_scale != 0.0f; ++k) {
      q[k] = static_cast<int64_t>(std::fmin(std::fmax(std::nearbyint(problem.x(m, k) / x_scale), -127.0f), 127.0f));
    }
    for (int64_t n = 0; n < c.N; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.K; ++k) sum += q[k] * static_cast<int64_t>(w.number(n, k));
      const float scaled = static_cast<float>(sum) * w.scale_at(n, 0);
      store_float(scaled * x_scale + problem.bias(n), y.data(), c.x_type, m * c.N + n);
    }
  }
  return y;
}

class Sparse24Int8 : public Mm<Sparse24DynamicMm> {
 protected:
  void expect_exact_results(Sparse24DynamicProblem& problem) {
    const std::vector<uint8_t> expected = exact_results(problem);
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { ASSERT_TRUE(same_bytes(y, expected)); });
  }
};

TEST_F(Sparse24Int8, GivesTheSameBitsEverywhere) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    MmCase c = random_case(random_, 100000);
    if (c.K == 0) continue;
    c.value_type = ValueType::int8;
    Sparse24DynamicProblem problem(c);
    problem.fill_ordinary(random_);
    expect_exact_results(problem);
    if (HasFatalFailure()) return;
  }
}

// The largest products there are, all of one sign or alternating: nothing saturates, nothing wraps, and no sum is rounded on its way.
TEST_F(Sparse24Int8, LargestProducts) {
  for (const int64_t K : {int64_t{1}, int64_t{2}, int64_t{31}, int64_t{33}, int64_t{64}, int64_t{1000}, int64_t{66000},
                          sparse24_exact_k - 1, sparse24_exact_k}) {
    for (const int64_t M : {1, 3, 17}) {
      if (K > 1000 && M == 3) continue;
      MmCase c{M, 8, K, INT64_MAX};
      c.value_type = ValueType::int8;
      Sparse24DynamicProblem problem(c);
      for (int64_t m = 0; m < M; ++m)
        for (int64_t k = 0; k < K; ++k) problem.set_x(m, k, (m % 2 == 0 ? 1 : -1) * (m % 3 == 2 && k % 3 != 0 ? -127 : 127));
      for (int64_t n = 0; n < 8; ++n) {
        for (int64_t quad = 0; quad < sparse24::quads(K); ++quad) problem.set_bits(n, quad, n % 2 == 0 ? 0x3 : 0xa);
        for (int64_t k = 0; k < K; ++k) problem.set_code(n, k, n < 4 || k % 2 == 0 ? -128 : k % 3 == 0 ? 127 : 126);
        problem.set_scale(n, 0, 1);
      }
      expect_exact_results(problem);
      if (HasFatalFailure()) return;
    }
  }
}

// Beyond sparse24_exact_k sums are near the reference and do not wrap.
TEST_F(Sparse24Int8, RowsLongerThanAnExactSum) {
  for (const int64_t K : {sparse24_exact_k + 1, int64_t{2200000}}) {
    MmCase c{1, 2, K, INT64_MAX};
    c.value_type = ValueType::int8;
    Sparse24DynamicProblem problem(c);
    for (int64_t k = 0; k < K; ++k) problem.set_x(0, k, k % 1000 == 0 ? -127 : 127);
    for (int64_t n = 0; n < 2; ++n) {
      for (int64_t k = 0; k < K; ++k) problem.set_code(n, k, n == 0 ? -128 : 127);
      problem.set_scale(n, 0, 1);
    }
    expect_near_in(problem);
  }
}

#ifdef TORCHAO_OPS_TEST_CUDA
// More sums, or a larger dense weight, than the workspace is for: the product is computed in parts.
TYPED_TEST(Sparse24, LargeProductsAreComputedInParts) {
  for (const ValueType type : {ValueType::int8, ValueType::e4m3fn}) {
    for (MmCase c : {MmCase{260, 32780, 5, INT64_MAX}, MmCase{2, 1030, type == ValueType::int8 ? 65543 : 32775, INT64_MAX}}) {
      c.value_type = type;
      typename TypeParam::Problem problem(c);
      problem.fill_exact(this->random_, TypeParam::dynamic);
      const std::vector<double> reference = reference_of<TypeParam>(problem);
      for (const auto& kernel : this->kernels_) {
        const std::string name = kernel.name;
        if (name.find("prefill") == std::string::npos && name.find("cusparselt") == std::string::npos) continue;
        if (!takes(kernel, problem.args())) continue;
        SCOPED_TRACE(name);
        expect_exact(problem.run(kernel.name, kernel.run, Parallel{}), reference, c);
        if (this->HasFatalFailure()) return;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace torchao_ops::test
