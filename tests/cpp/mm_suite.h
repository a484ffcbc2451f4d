// What every operator that multiplies by a weight owes, whatever the weight's format: each kernel against the reference.
//
// A format's test file instantiates the suites with its operators, types with
//   Problem, Kernel                 int4_problem.h, kernels.h
//   name, dynamic                   whether activations are quantized
//   zero_code                       the code that means zero, with zero point 8 if the format has zero points
// The problem's weight() is what multiplies x, as formats.h has it: y[m, n] = sum_k x[m, k] * w[n, k].
//   kernels(), reference(args, y)
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_problem.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

template <class Operator>
std::vector<double> reference_of(const typename Operator::Problem& problem) {
  const MmCase& c = problem.shape();
  std::vector<double> y(static_cast<size_t>(c.M * c.N));
  Operator::reference(problem.args(), y.data());
  return y;
}

// What sums lose where a device forms them in fp8, as part of the sum of magnitudes (docs/numerics.md).
#if defined(TORCHAO_OPS_TEST_CUDA) && !defined(TORCHAO_OPS_CUDA_HOST)
constexpr double fp8_roundoff = 0x1p-12;
#else
constexpr double fp8_roundoff = 0;
#endif

// How far a correct kernel can be from the reference before the result is rounded to x's type, for each element of y.
//
// Exact activations: K terms x * (code - zero_point) * scale, each rounded at most 3 times on its way and each taking part in at most K additions; kernels
// may apply scale and zero point to whole sums, so what is rounded is as large as |x| * (code + |zero_point|) * |scale|, not
// as their difference. A dense product in fp16 or bf16 has the weight rounded to that type, so a kernel may do that too: CUDA's prefill does. What
// lies below the type's normal range is rounded by up to half its smallest number.
// Quantized ones: integer sums are exact (up to 2^24 in fp32, beyond it they are rounded once more), so only scales, zero points and the
// sum over at most ceil(K / 32) + G partial sums round, in fp32.
// Where a term or the result is subnormal, half a unit of 2^-149 takes the place of the relative error.
template <class Operator>
std::vector<double> error_bound(const typename Operator::Problem& problem) {
  const MmCase& c = problem.shape();
  const auto w = problem.weight();
  std::vector<double> bounds(static_cast<size_t>(c.M * c.N));
  for (int64_t m = 0; m < c.M; ++m) {
    float max_magnitude = 0;
    bool finite = true;
    for (int64_t k = 0; k < c.K; ++k) {
      finite = finite && is_finite(problem.x(m, k));
      max_magnitude = std::fmax(max_magnitude, std::fabs(problem.x(m, k)));
    }
    const float x_scale = problem.activation_scale(max_magnitude);
    const bool quantized = Operator::dynamic && finite && x_scale != 0;
    for (int64_t n = 0; n < c.N; ++n) {
      double factored = 0, weighted = 0, x_sum = 0, tiny = 0;
      for (int64_t k = 0; k < c.K; ++k) {
        const int64_t g = w.group_position(n, k) / w.group_size;
        const double code = w.number(n, k), zero_point = w.zero_point_at(n, g), scale = std::fabs(w.scale_at(n, g));
        double x = std::fabs(problem.x(m, k));
        if (quantized) x = std::fabs(problem.quantized(static_cast<float>(x), x_scale));
        factored += x * (std::fabs(code) + std::fabs(zero_point)) * scale;
        weighted += x * std::fabs(code - zero_point) * scale;
        x_sum += x;
        tiny += 0x1p-149 * (1 + scale + x);
      }
      double bound = 0;
      if (quantized) {
        const double additions = static_cast<double>(problem.sums_integers() ? ceil_div(c.K, 32) + c.G() : c.K);
        bound = (additions + 8) * 0x1p-24 * factored;
        if (std::is_same_v<std::decay_t<decltype(w)>, fp8::Weight>) bound += fp8_roundoff * factored;
      } else {
        bound = static_cast<double>(c.K + 8) * 0x1p-24 * factored;
        if (c.x_type == FloatType::f16) bound += unit_roundoff(c.x_type) * weighted + 0x1p-25 * x_sum;
        if (c.x_type == FloatType::bf16) bound += unit_roundoff(c.x_type) * weighted + 0x1p-134 * x_sum;
#ifdef TORCHAO_OPS_TEST_CUDA
        // cuBLASLt adds a bias of y's type only: CUDA's prefill rounds another one to it first.
        if (c.bias_type && *c.bias_type != c.x_type) bound += unit_roundoff(c.x_type) * std::fabs(problem.bias(n)) + 0x1p-25;
#endif
      }
      bounds[m * c.N + n] = bound + 0x1p-23 * std::fabs(problem.bias(n)) + tiny + 0x1p-149;
    }
  }
  return bounds;
}

enum class NonFinite { same_class, any };

// Each element of y lies between reference - bound and reference + bound, all rounded to x's type; NaN and the infinities are where the
// reference has them (or, with NonFinite::any, are not finite there).
inline void expect_near(const std::vector<uint8_t>& y, const std::vector<double>& reference, const std::vector<double>& bound,
                        const MmCase& c, NonFinite non_finite = NonFinite::same_class) {
  for (int64_t i = 0; i < c.M * c.N; ++i) {
    const float got = y_at(y, c.x_type, i);
    const double expected = reference[i];
    const std::string where = "y[" + std::to_string(i / c.N) + ", " + std::to_string(i % c.N) + "]";
    if (!std::isfinite(expected)) {
      const bool same = std::isnan(expected) ? std::isnan(got) : got == static_cast<float>(expected);
      ASSERT_TRUE(non_finite == NonFinite::any ? !std::isfinite(got) : same) << where << " is " << got << ", not " << expected;
      continue;
    }
    const float lowest = round_to(c.x_type, static_cast<float>(expected - bound[i]));
    const float highest = round_to(c.x_type, static_cast<float>(expected + bound[i]));
    ASSERT_TRUE(lowest <= got && got <= highest)
        << where << " is " << got << ", not " << expected << " +- " << bound[i] << " in " << name_of(c.x_type);
  }
}

inline void expect_exact(const std::vector<uint8_t>& y, const std::vector<double>& reference, const MmCase& c) {
  for (int64_t i = 0; i < c.M * c.N; ++i) {
    ASSERT_EQ(y_at(y, c.x_type, i), round_to(c.x_type, static_cast<float>(reference[i])))
        << "y[" << i / c.N << ", " << i % c.N << "]";
  }
}

template <class Operator>
class Mm : public testing::Test {
 protected:
  using Problem = typename Operator::Problem;
  using Kernel = typename Operator::Kernel;

  // Runs every kernel that takes the problem and hands its result to check(y).
  template <class Check>
  void for_each_kernel(Problem& problem, const Check& check) {
    for (const Kernel& kernel : kernels_) {
      if (!takes(kernel, problem.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + text_of(problem.shape()));
      check(problem.run(kernel.name, kernel.run, std_threads(problem.shape().threads)));
      if (this->HasFatalFailure()) return;
    }
  }

  void expect_exact_in(const MmCase& c) {
    Problem problem(c);
    problem.fill_exact(random_, Operator::dynamic);
    const std::vector<double> reference = reference_of<Operator>(problem);
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, c); });
  }

  void expect_near_in(Problem& problem, NonFinite non_finite = NonFinite::same_class) {
    const std::vector<double> reference = reference_of<Operator>(problem), bound = error_bound<Operator>(problem);
    for_each_kernel(problem,
                    [&](const std::vector<uint8_t>& y) { expect_near(y, reference, bound, problem.shape(), non_finite); });
  }

  // Random problems without a bias, changed by set_zeros, give exact zeros.
  template <class SetZeros>
  void expect_zeros_with(const SetZeros& set_zeros) {
    for (int64_t i = 0; i < case_count(30); ++i) {
      MmCase c = random_case(random_, 100000);
      c.bias_type.reset();
      Problem problem(c);
      problem.fill_ordinary(random_);
      set_zeros(problem);
      for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        for (int64_t j = 0; j < c.M * c.N; ++j)
          ASSERT_EQ(y_at(y, c.x_type, j), 0.0f) << "y[" << j / c.N << ", " << j % c.N << "]";
      });
      if (this->HasFatalFailure()) return;
    }
  }

  const std::vector<Kernel> kernels_ = Operator::kernels();
  Random random_{0};
};

// What holds for all operators, for those with exact activations, and for those that quantize them.
TYPED_TEST_SUITE_P(Mm);
template <class Operator>
class WeightOnlyMm : public Mm<Operator> {};
TYPED_TEST_SUITE_P(WeightOnlyMm);
template <class Operator>
class DynamicMm : public Mm<Operator> {};
TYPED_TEST_SUITE_P(DynamicMm);

// Values with which the product is exact in any order of summation: one wrong nibble, group, row or rounding is one wrong bit. Every
// length of a row with every group size,
TYPED_TEST_P(Mm, IsExactForEveryLengthAndGroupSize) {
  for (const int64_t K : {0,  1,  2,  3,   7,   8,   15,  16,  17,  31,  32,  33,  47,  63,  64,
                          65, 95, 96, 100, 127, 128, 129, 130, 255, 256, 257, 384, 512, 513, 1000}) {
    for (const int64_t group_size : {1, 2, 3, 7, 8, 16, 31, 32, 33, 48, 64, 96, 100, 128, 256, 1024}) {
      for (const int64_t M : {1, 5}) {
        if (!is_selected(this->random_)) continue;
        this->expect_exact_in(with_random_types({M, 3, K, group_size}, this->random_));
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

// every number of rows of x with every number of rows of the weight, up to beyond any block of either,
TYPED_TEST_P(Mm, IsExactForEveryNumberOfRows) {
  for (int64_t M = 0; M <= 40; ++M) {
    for (int64_t N = 0; N <= 40; N += 1 + (M + N) % 3) {
      if (!is_selected(this->random_)) continue;
      this->expect_exact_in(
          with_random_types({M, N, this->random_.template one_of<int64_t>({32, 40, 64, 70, 128}), 32}, this->random_));
      if (this->HasFatalFailure()) return;
    }
  }
}

// and anything else.
TYPED_TEST_P(Mm, IsExactForRandomShapes) {
  for (int64_t i = 0; i < case_count(400); ++i) {
    this->expect_exact_in(random_case(this->random_, i % 20 == 0 ? 2000000 : 100000));
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST_P(Mm, IsNearTheReferenceForOrdinaryValues) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    typename TypeParam::Problem problem(random_case(this->random_, i % 20 == 0 ? 2000000 : 100000));
    problem.fill_ordinary(this->random_);
    this->expect_near_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

// Shapes of layers, cut down in one dimension: many pieces along each dimension, the last ones partial.
TYPED_TEST_P(Mm, IsNearTheReferenceForLayers) {
  const std::vector<MmCase> layers = {{1, 70, 4096, 128}, {5, 40, 5120, 32},   {8, 33, 11008, 128}, {12, 136, 2304, 64},
                                      {31, 72, 3072, 96}, {67, 264, 1160, 32}, {130, 40, 1152, 384}};
  for (const MmCase& layer : selected_of(layers, this->random_)) {
    MmCase c = with_random_types(layer, this->random_);
    if (c.x_type == FloatType::f32) c.x_type = FloatType::bf16;       // as layers have it
    c.row_padding = this->random_.template one_of<int64_t>({0, 64});  // rows as aligned as they are in models
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    this->expect_near_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

// Rows that lie so far apart that the last ones begin beyond 2^31 bytes and elements: indices of 32 bits would not reach them.
TYPED_TEST_P(Mm, RowsMayLieFarApart) {
  constexpr int64_t M = 140, N = 140, K = 64, stride = int64_t{1} << 24;
  auto memory = [](int64_t bytes) {  // zeros that take no room until they are written
    void* pages =
        mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return std::unique_ptr<void, std::function<void(void*)>>(pages, [=](void* p) { munmap(p, static_cast<size_t>(bytes)); });
  };
  typename TypeParam::Problem problem({M, N, K, 32, FloatType::f32, FloatType::f32, FloatType::f32});
  problem.fill_exact(this->random_, TypeParam::dynamic);
  const std::vector<double> reference = reference_of<TypeParam>(problem);
  auto args = problem.args();
  std::vector<decltype(memory(0))> spread;
  for (const OperandRows& operand : TypeParam::Problem::operand_rows(args)) {
    const int64_t size = operand.element_bytes;
    spread.push_back(memory(operand.rows * stride * size));
    ASSERT_NE(spread.back().get(), MAP_FAILED);
    for (int64_t row = 0; row < operand.rows; ++row) {
      std::memcpy(static_cast<uint8_t*>(spread.back().get()) + row * stride * size,
                  static_cast<const uint8_t*>(*operand.data) + row * *operand.row_stride * size,
                  static_cast<size_t>(operand.columns * size));
    }
    *operand.data = spread.back().get();
    *operand.row_stride = stride;
  }
  std::vector<uint8_t> y(M * N * 4);
  args.mm.y = y.data();
  for (const auto& kernel : this->kernels_) {
    if (!takes(kernel, args)) continue;
    SCOPED_TRACE(kernel.name);
    describe_current_case(kernel.name);
    ASSERT_EQ(kernel.run(args, std_threads(2)), Status::ok);
    expect_exact(y, reference, problem.shape());
  }
}

TYPED_TEST_P(Mm, DoesNotDependOnThreadsOrRuns) {
  [[maybe_unused]] const Parallel one_worker_of_seven{7, [](int64_t, void (*worker)(void*), void* context) { worker(context); }};
  for (int64_t i = 0; i < case_count(40); ++i) {
    typename TypeParam::Problem problem(random_case(this->random_, 1000000));
    problem.fill_ordinary(this->random_);
    for (const auto& kernel : this->kernels_) {
      if (!takes(kernel, problem.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + text_of(problem.shape()));
      const std::vector<uint8_t> once = problem.run(kernel.name, kernel.run, Parallel{});
      ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, Parallel{}), once)) << "another run gives other bits";
#ifndef TORCHAO_OPS_TEST_CUDA  // whose kernels take no threads
      for (const int64_t threads : {2, 3, 7}) {
        ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, std_threads(threads)), once))
            << threads << " threads give other bits";
      }
      ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, one_worker_of_seven), once)) << "an idle pool gives other bits";
#endif
    }
  }
}

// Row m of y is a function of row m of x: other values in other rows, NaN and huge ones among them, change none of its bits.
TYPED_TEST_P(Mm, RowsAreIndependent) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    MmCase c = random_case(this->random_, 300000);
    if (c.M < 2 || c.N == 0) continue;
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    const int64_t kept = this->random_.integer(0, c.M - 1);
    std::vector<std::vector<uint8_t>> before;
    auto row_of = [&](const std::vector<uint8_t>& y) {
      const int64_t bytes = c.N * size_of(c.x_type);
      return std::vector<uint8_t>(y.begin() + kept * bytes, y.begin() + (kept + 1) * bytes);
    };
    this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { before.push_back(row_of(y)); });
    for (const double other : {0.0, 3.0, 1e30, double{quiet_nan}, double{infinity}}) {
      for (int64_t m = 0; m < c.M; ++m)
        for (int64_t k = 0; k < c.K; ++k)
          if (m != kept) problem.set_x(m, k, other);
      size_t kernel = 0;
      this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        ASSERT_TRUE(same_bytes(row_of(y), before[kernel++])) << "row " << kept << " changed when the others became " << other;
      });
      if (this->HasFatalFailure()) return;
    }
  }
}

// A kernel that is said to be batch-invariant gives a row the same bits alone as among others.
TYPED_TEST_P(Mm, RowsDoNotDependOnTheirNumber) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    const MmCase c = random_case(this->random_, 300000);
    if (c.M < 2 || c.N == 0) continue;
    MmCase alone = c;
    alone.M = 1;
    typename TypeParam::Problem problem(c), row(alone);
    problem.fill_ordinary(this->random_);
    row.copy_weight(problem);
    const int64_t m = this->random_.integer(0, c.M - 1);
    for (int64_t k = 0; k < c.K; ++k) row.set_x(0, k, problem.x(m, k));
    for (const auto& kernel : this->kernels_) {
      if (!kernel.batch_invariant || !takes(kernel, problem.args()) || !takes(kernel, row.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " row " + std::to_string(m) + " of " + text_of(c));
      const std::vector<uint8_t> all = problem.run(kernel.name, kernel.run, Parallel{});
      const int64_t bytes = c.N * size_of(c.x_type);
      ASSERT_TRUE(same_bytes(row.run(kernel.name, kernel.run, Parallel{}),
                             std::vector<uint8_t>(all.begin() + m * bytes, all.begin() + (m + 1) * bytes)));
    }
  }
}

TYPED_TEST_P(Mm, ZeroActivationsGiveExactZeros) {
  this->expect_zeros_with([](auto& problem) {
    for (int64_t m = 0; m < problem.shape().M; ++m)
      for (int64_t k = 0; k < problem.shape().K; ++k) problem.set_x(m, k, 0);
  });
}

TYPED_TEST_P(Mm, ZeroScalesGiveExactZeros) {
  this->expect_zeros_with([](auto& problem) {
    for (int64_t n = 0; n < problem.shape().N; ++n)
      for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_scale(n, g, 0);
  });
}

// Codes that mean zero (with zero points of 8, if the format has them), with scales that are not zero.
TYPED_TEST_P(Mm, ZeroWeightsGiveExactZeros) {
  this->expect_zeros_with([](auto& problem) {
    for (int64_t n = 0; n < problem.shape().N; ++n) {
      for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_zero_point(n, g, 8);
      for (int64_t k = 0; k < problem.shape().K; ++k) problem.set_code(n, k, TypeParam::zero_code);
    }
  });
}

// One group of zeros among others takes nothing from them and adds nothing.
TYPED_TEST_P(Mm, AGroupOfZerosAddsNothing) {
  typename TypeParam::Problem problem({4, 6, 160, 32});
  problem.fill_exact(this->random_, TypeParam::dynamic);
  for (int64_t n = 0; n < 6; ++n) problem.set_scale(n, 2, 0);
  const std::vector<double> reference = reference_of<TypeParam>(problem);
  this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
}

// Rows of x from the smallest subnormal to the largest number of its type, next to ordinary ones; weights such that y is representable.
TYPED_TEST_P(Mm, KeepsRangeOfTinyAndHugeRows) {
  const std::vector<double> magnitudes[] = {
      {1, 0x1p-149, 0x1p-140, 1e-40, 1e-36, 1e-30, 1e-20, 1e20, 1e30, 1e35, 3e38},  // f32
      {1, 0x1p-24, 0x1p-20, 0x1p-14, 6e4},                                          // f16
      {1, 0x1p-133, 0x1p-130, 1e-36, 1e-30, 1e-20, 1e20, 1e30, 1e35, 3e38},         // bf16
  };
  for (int64_t i = 0; i < case_count(60); ++i) {
    MmCase c = random_case(this->random_, 200000);
    c.scale_type = c.x_type == FloatType::f16 ? FloatType::f32 : c.scale_type;
    const std::vector<double>& of_type = magnitudes[static_cast<int>(c.x_type)];
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    for (int64_t m = 0; m < c.M; ++m) {
      const double magnitude = of_type[this->random_.integer(0, static_cast<int64_t>(of_type.size()) - 1)];
      for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, magnitude * this->random_.uniform(-1, 1));
    }
    // Scales of 2^-14 / K keep |y| below max|x| / 2^10, and so do fp16's subnormal ones.
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t g = 0; g < problem.shape().G(); ++g)
        problem.set_scale(n, g, this->random_.uniform(0x1p-15, 0x1p-14) / static_cast<double>(c.K));
      problem.set_bias(n, 0);
    }
    this->expect_near_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

// Subnormal scales and zero points, with rows of x that bring the product back to ordinary numbers.
TYPED_TEST_P(Mm, KeepsSubnormalScales) {
  for (int64_t i = 0; i < case_count(30); ++i) {
    MmCase c = random_case(this->random_, 100000);
    if (c.x_type == FloatType::f16) c.x_type = FloatType::bf16;
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    const double smallest = c.scale_type == FloatType::f32 ? 0x1p-149 : c.scale_type == FloatType::f16 ? 0x1p-24 : 0x1p-133;
    for (int64_t n = 0; n < c.N; ++n)
      for (int64_t g = 0; g < problem.shape().G(); ++g)
        problem.set_scale(n, g, smallest * static_cast<double>(this->random_.integer(1, 100)));
    for (int64_t m = 0; m < c.M; ++m)
      for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, 1e15 * this->random_.normal());
    this->expect_near_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

// NaN and the infinities in one operand at a time: y has NaN and the infinities where the reference has them and is right elsewhere.
TYPED_TEST_P(Mm, PropagatesNanAndInf) {
  for (int64_t i = 0; i < case_count(240); ++i) {
    MmCase c = random_case(this->random_, 30000);
    if (c.M == 0 || c.N == 0 || c.K == 0) continue;
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    const char* operand = "";
    for (int64_t count = this->random_.integer(1, 3); count > 0; --count) {
      const double value = this->random_.template one_of<double>({quiet_nan, infinity, -infinity});
      const int64_t n = this->random_.integer(0, c.N - 1), g = this->random_.integer(0, problem.shape().G() - 1);
      switch (i % 4) {
        case 0: operand = "x", problem.set_x(this->random_.integer(0, c.M - 1), this->random_.integer(0, c.K - 1), value); break;
        case 1: operand = "scale", problem.set_scale(n, g, value); break;
        case 2: operand = "bias", problem.set_bias(n, value); break;
        case 3: operand = "zero point, if there is one", problem.set_zero_point(n, g, value); break;
      }
    }
    SCOPED_TRACE(operand);
    // A quantized row of x has zeros where x has small numbers, and 0 * Inf is NaN where small * Inf is Inf: the two kinds of not finite are
    // not told apart where a weight is not finite.
    this->expect_near_in(problem, TypeParam::dynamic && i % 4 != 0 ? NonFinite::any : NonFinite::same_class);
    if (this->HasFatalFailure()) return;
  }
}

// An infinite x times a weight that is exactly zero is NaN, as in the dense product.
TYPED_TEST_P(Mm, InfinityTimesZeroIsNan) {
  typename TypeParam::Problem problem({1, 2, 64, 32});
  problem.fill_exact(this->random_, TypeParam::dynamic);
  int64_t k = 40;
  while (!problem.is_stored(1, k)) ++k;
  problem.set_x(0, k, infinity);
  problem.set_code(0, k, TypeParam::zero_code);
  problem.set_code(1, k, TypeParam::zero_code + 1);
  for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_scale(1, g, 1);
  this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
    EXPECT_TRUE(std::isnan(y_at(y, FloatType::f32, 0)));
    EXPECT_EQ(y_at(y, FloatType::f32, 1), infinity);
  });
}

// x is divided by its scale and rounded half to even: x = (i + 1/2) * 3 with a scale of exactly 3 are ties that a product with
// the rounded reciprocal of 3 does not see.
TYPED_TEST_P(DynamicMm, QuantizesActivationsByDivisionHalfToEven) {
  typename TypeParam::Problem problem({1, 1, 128, 128});
  problem.fill_exact(this->random_, true);
  for (int64_t k = 0; k < 127; ++k) problem.set_x(0, k, 3 * (static_cast<double>(k) + 0.5 - 63));
  problem.set_x(0, 127, 3 * 127);
  const std::vector<double> reference = reference_of<TypeParam>(problem);
  this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
}

// DESIGN's contract: the error, as a relative Frobenius norm on random inputs, is at most that of the dense product in x's type.
//
// Dense, in fp16 and bf16: the weight rounded to that type, fp32 accumulation, the result rounded; computed here with 16 interleaved sums, as
// a vector unit does. In fp32: K additions to a sum that grows as a random walk, each with a rounding error that is uniform in +-2^-24 of a
// sum of binary exponent e, on average 0.4 * 2^-24 of it, give 0.4 / sqrt(2) * sqrt(K) < 0.3 * sqrt(K) units of 2^-24 of the
// result; one more unit for rounding the weight, the products and the result.
//
// Two independent error vectors of n elements differ in norm by their sampling error, about 0.45 / sqrt(n) each: 4 of these.
TYPED_TEST_P(WeightOnlyMm, ErrorIsAtMostThatOfTheDenseProduct) {
  struct Size {
    int64_t K, group_size;
  };
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    const std::vector<Size> sizes = {{64, 32}, {384, 128}, {1000, 100}, {4096, 128}};
    for (const Size size : selected_of(sizes, this->random_)) {
      MmCase c{16, 64, size.K, size.group_size};
      c.x_type = type;
      c.zero_point_type = FloatType::f32;
      typename TypeParam::Problem problem(c);
      problem.fill_ordinary(this->random_);
      const std::vector<double> reference = reference_of<TypeParam>(problem);
      const auto w = problem.weight();
      double norm = 0, dense_error = 0;
      for (int64_t m = 0; m < c.M; ++m) {
        for (int64_t n = 0; n < c.N; ++n) {
          float sums[16] = {};
          for (int64_t k = 0; k < c.K; ++k) {
            const int64_t g = w.group_position(n, k) / w.group_size;
            const float weight = (w.number(n, k) - w.zero_point_at(n, g)) * w.scale_at(n, g);
            sums[k % 16] = std::fma(problem.x(m, k), round_to(type, weight), sums[k % 16]);
          }
          for (int width = 8; width > 0; width /= 2)
            for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
          const double exact = reference[m * c.N + n];
          dense_error += std::pow(round_to(type, sums[0]) - exact, 2);
          norm += exact * exact;
        }
      }
      double limit = std::sqrt(dense_error / norm);
      if (type == FloatType::f32) limit = 0x1p-24 * (1 + 0.3 * std::sqrt(static_cast<double>(c.K)));
      limit *= 1 + 1.8 / std::sqrt(static_cast<double>(c.M * c.N));
      this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        double error = 0;
        for (int64_t i = 0; i < c.M * c.N; ++i) error += std::pow(y_at(y, type, i) - reference[i], 2);
        error = std::sqrt(error / norm);
        EXPECT_LE(error, limit);
      });
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(Mm, IsExactForEveryLengthAndGroupSize, IsExactForEveryNumberOfRows, IsExactForRandomShapes,
                            IsNearTheReferenceForOrdinaryValues, IsNearTheReferenceForLayers, RowsMayLieFarApart,
                            DoesNotDependOnThreadsOrRuns, RowsAreIndependent, RowsDoNotDependOnTheirNumber,
                            ZeroActivationsGiveExactZeros, ZeroScalesGiveExactZeros, ZeroWeightsGiveExactZeros,
                            AGroupOfZerosAddsNothing, KeepsRangeOfTinyAndHugeRows, KeepsSubnormalScales, PropagatesNanAndInf,
                            InfinityTimesZeroIsNan);
REGISTER_TYPED_TEST_SUITE_P(WeightOnlyMm, ErrorIsAtMostThatOfTheDenseProduct);
REGISTER_TYPED_TEST_SUITE_P(DynamicMm, QuantizesActivationsByDivisionHalfToEven);

// Names of the instances in test reports.
struct OperatorNames {
  template <class Operator>
  static std::string GetName(int) {
    return Operator::name;
  }
};

}  // namespace
}  // namespace torchao_ops::test
