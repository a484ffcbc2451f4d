// Every fp8_scaled_mm kernel against the reference: all pairs of types, granularities and strides; exact values, ordinary ones, NaN and Inf.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/fp8_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

// mm_suite.h's comparisons are used here, not its suites, which are about one weight.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Mm);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WeightOnlyMm);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DynamicMm);

// A pair of operands. Each is the weight of a problem of its own; b's has the bias and y, too.
class Pair {
 public:
  Pair(const MmCase& a, const MmCase& b) : a_(a), b_(b) {}

  Fp8Problem& a() { return a_; }
  Fp8Problem& b() { return b_; }
  const MmCase& shape() const { return b_.shape(); }  // M is a's N; x_type is y's
  std::string text() const { return "a: " + text_of(a_.shape()) + ", b: " + text_of(b_.shape()); }

  Fp8ScaledMmArgs args() const {
    const MmArgs mm = b_.args().mm;
    return {a_.weight(), b_.weight(), mm.bias, mm.bias_type, mm.y, mm.x_type};
  }
  std::vector<double> reference() const {
    std::vector<double> y(static_cast<size_t>(shape().M * shape().N));
    fp8_scaled_mm_ref(args(), y.data());
    return y;
  }
  // As error_bound has it: K terms, each rounded at most four times and taking part in at most K additions.
  std::vector<double> bound() const {
    const fp8::Weight a = a_.weight(), b = b_.weight();
    std::vector<double> bounds;
    for (int64_t m = 0; m < a.N; ++m) {
      for (int64_t n = 0; n < b.N; ++n) {
        double sum = 0, tiny = 0;
        for (int64_t k = 0; k < a.K; ++k) {
          const double x = std::fabs(a.number(m, k) * double{a.scale_at(m, k / a.group_size)});
          const double w = std::fabs(b.number(n, k) * double{b.scale_at(n, k / b.group_size)});
          sum += x * w;
          tiny += 0x1p-149 * (1 + x + w);
        }
        bounds.push_back((static_cast<double>(a.K + 9) * 0x1p-24 + fp8_roundoff) * sum + 0x1p-23 * std::fabs(b_.bias(n)) + tiny +
                         0x1p-149);
      }
    }
    return bounds;
  }
  std::vector<uint8_t> run(const Fp8ScaledMmKernel& kernel, const Parallel& parallel) {
    a_.set_writable(false);
    const std::string name = std::string(kernel.name) + " a: " + text_of(a_.shape());
    std::vector<uint8_t> y = b_.run(name.c_str(), kernel.run, args(), parallel);
    a_.set_writable(true);
    return y;
  }

 private:
  Fp8Problem a_, b_;
};

class Fp8ScaledMm : public testing::Test {
 protected:
  // Random operands of a random shape with M * N * K <= max_products; a's case with the same N as b's M.
  Pair random_pair(int64_t max_products) {
    const MmCase b = random_case(random_, max_products);
    return pair_of(b, random_case(random_, max_products).group_size);
  }
  Pair pair_of(const MmCase& b, int64_t group_size_of_a) {
    MmCase a = with_random_types({0, b.M, b.K, group_size_of_a}, random_);
    a.bias_type.reset();
    a.placement = b.placement;
    return Pair(a, b);
  }

  template <class Check>
  void for_each_kernel(Pair& pair, const Check& check) {
    for (const Fp8ScaledMmKernel& kernel : kernels_) {
      if (!takes(kernel, pair.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + pair.text());
      check(pair.run(kernel, std_threads(pair.shape().threads)));
      if (HasFatalFailure()) return;
    }
  }
  void expect_exact_in(Pair& pair) {
    pair.a().fill_exact(random_, false);
    pair.b().fill_exact(random_, false);
    const std::vector<double> reference = pair.reference();
    for_each_kernel(pair, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, pair.shape()); });
  }
  void expect_near_in(Pair& pair, NonFinite non_finite = NonFinite::same_class) {
    const std::vector<double> reference = pair.reference(), bound = pair.bound();
    for_each_kernel(pair, [&](const std::vector<uint8_t>& y) { expect_near(y, reference, bound, pair.shape(), non_finite); });
  }

  const std::vector<Fp8ScaledMmKernel> kernels_ = fp8_scaled_mm_kernels();
  Random random_{0};
};

TEST_F(Fp8ScaledMm, IsExactForRandomShapes) {
  for (int64_t i = 0; i < case_count(300); ++i) {
    Pair pair = random_pair(i % 20 == 0 ? 2000000 : 100000);
    expect_exact_in(pair);
    if (HasFatalFailure()) return;
  }
}

// Each granularity of a with each of b, DeepSeek's pair of them among these.
TEST_F(Fp8ScaledMm, EachPairOfGranularities) {
  struct Granularity {
    int64_t row_block, group_size;
  };
  const Granularity all[] = {{fp8::all, fp8::all}, {1, fp8::all}, {fp8::block, fp8::block}, {1, fp8::block}};
  for (const Granularity& of_a : all) {
    for (const Granularity& of_b : all) {
      struct Size {
        int64_t M, N, K;
        bool aligned;  // rows, to 16 bytes
      };
      for (const Size& size : {Size{1, 150, 300, false}, Size{140, 150, 300, false}, Size{132, 160, 256, true}}) {
        MmCase b = with_random_types({size.M, size.N, size.K, of_b.group_size}, random_),
               a = with_random_types({0, size.M, size.K, of_a.group_size}, random_);
        for (MmCase* c : {&a, &b}) {
          if (!size.aligned) continue;
          c->row_padding = 0;
          c->placement = Placement::starts_at_guard;
        }
        a.row_block = of_a.row_block;
        b.row_block = of_b.row_block;
        a.bias_type.reset();
        Pair pair(a, b);
        expect_exact_in(pair);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(Fp8ScaledMm, IsNearTheReference) {
  for (int64_t i = 0; i < case_count(150); ++i) {
    Pair pair =
        i % 10 == 0 ? pair_of(with_random_types({5, 40, 5120, 128}, random_), 128) : random_pair(i % 20 == 5 ? 2000000 : 100000);
    pair.a().fill_ordinary(random_);
    pair.b().fill_ordinary(random_);
    expect_near_in(pair);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Fp8ScaledMm, KeepsSubnormalAndHugeScales) {
  for (int64_t i = 0; i < case_count(40); ++i) {
    MmCase b = random_case(random_, 50000);
    b.scale_type = FloatType::f32;
    b.x_type = FloatType::f32;
    MmCase a = with_random_types({0, b.M, b.K, b.group_size}, random_);
    a.scale_type = FloatType::f32;
    a.bias_type.reset();
    Pair pair(a, b);
    pair.a().fill_ordinary(random_);
    pair.b().fill_ordinary(random_);
    for (int64_t n = 0; n < a.N; ++n)
      for (int64_t g = 0; g < a.G(); ++g) pair.a().set_scale(n, g, 1e-40 * static_cast<double>(random_.integer(1, 100)));
    for (int64_t n = 0; n < b.N; ++n)
      for (int64_t g = 0; g < b.G(); ++g) pair.b().set_scale(n, g, 1e30);
    expect_near_in(pair);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Fp8ScaledMm, PropagatesNanAndInf) {
  for (int64_t i = 0; i < case_count(160); ++i) {
    Pair pair = random_pair(30000);
    const MmCase& c = pair.shape();
    if (c.M == 0 || c.N == 0 || c.K == 0) continue;
    pair.a().fill_ordinary(random_);
    pair.b().fill_ordinary(random_);
    for (int64_t count = random_.integer(1, 3); count > 0; --count) {
      const double value = random_.one_of<double>({quiet_nan, infinity, -infinity});
      const int64_t m = random_.integer(0, c.M - 1), n = random_.integer(0, c.N - 1), k = random_.integer(0, c.K - 1);
      const uint8_t byte = static_cast<uint8_t>(random_.integer(0x7c, 0x7f));  // e5m2's Inf and NaN, e4m3fn's NaN
      switch (i % 5) {
        case 0: pair.a().set_byte(m, k, byte); break;
        case 1: pair.b().set_byte(n, k, byte); break;
        case 2: pair.a().set_scale(m, k / pair.a().shape().group_size, value); break;
        case 3: pair.b().set_scale(n, k / c.group_size, value); break;
        case 4: pair.b().set_bias(n, value); break;
      }
    }
    expect_near_in(pair);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Fp8ScaledMm, ZeroScalesGiveExactZeros) {
  for (int64_t i = 0; i < case_count(40); ++i) {
    Pair pair = random_pair(50000);
    pair.a().fill_ordinary(random_);
    pair.b().fill_ordinary(random_);
    Fp8Problem& zero = i % 2 == 0 ? pair.a() : pair.b();
    for (int64_t n = 0; n < zero.shape().N; ++n)
      for (int64_t g = 0; g < zero.shape().G(); ++g) zero.set_scale(n, g, 0);
    for (int64_t n = 0; n < pair.shape().N; ++n) pair.b().set_bias(n, 0);
    for_each_kernel(pair, [&](const std::vector<uint8_t>& y) {
      for (int64_t j = 0; j < pair.shape().M * pair.shape().N; ++j) ASSERT_EQ(y_at(y, pair.shape().x_type, j), 0.0f);
    });
    if (HasFatalFailure()) return;
  }
}

TEST_F(Fp8ScaledMm, DoesNotDependOnThreadsOrRuns) {
  for (int64_t i = 0; i < case_count(30); ++i) {
    Pair pair = random_pair(1000000);
    pair.a().fill_ordinary(random_);
    pair.b().fill_ordinary(random_);
    for (const Fp8ScaledMmKernel& kernel : kernels_) {
      if (!takes(kernel, pair.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + pair.text());
      const std::vector<uint8_t> once = pair.run(kernel, Parallel{});
      ASSERT_TRUE(same_bytes(pair.run(kernel, Parallel{}), once));
      for (const int64_t threads : {2, 7}) ASSERT_TRUE(same_bytes(pair.run(kernel, std_threads(threads)), once)) << threads;
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
