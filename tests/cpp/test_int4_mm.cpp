// Every int4_mm and int4_dynamic_mm kernel against the reference.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "tests/cpp/int4_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

struct Operator {
  const char* name;
  bool dynamic;
  std::vector<Int4MmKernel> (*kernels)();
  void (*reference)(const Int4MmArgs&, double*);
};
const Operator weight_only{"int4_mm", false, int4_mm_kernels, int4_mm_ref};
const Operator dynamic{"int4_dynamic_mm", true, int4_dynamic_mm_kernels, int4_dynamic_mm_ref};
std::ostream& operator<<(std::ostream& out, const Operator& op) { return out << op.name; }

std::vector<double> reference_of(const Operator& op, const Int4Problem& problem) {
  const Int4Case& c = problem.shape();
  std::vector<double> y(static_cast<size_t>(c.M * c.N));
  op.reference(problem.args(), y.data());
  return y;
}

// How far a correct kernel can be from the reference before the result is rounded to x's type, for each element of y.
//
// int4_mm: K terms x * (code - zero_point) * scale, each rounded at most 3 times on its way and each taking part in at most K additions; kernels
// may apply scale and zero point to whole sums, so what is rounded is as large as |x| * (code + |zero_point|) * |scale|, not
// as their difference. A dense product in fp16 or bf16 has the weight rounded to that type, so a kernel may do that too: CUDA's prefill does. What
// lies below the type's normal range is rounded by up to half its smallest number.
// int4_dynamic_mm: integer sums are exact (up to 2^24 in fp32, beyond it they are rounded once more), so only scales, zero points and the
// sum over at most ceil(K / 32) + G partial sums round, in fp32.
// Where a term or the result is subnormal, half a unit of 2^-149 takes the place of the relative error.
std::vector<double> error_bound(const Operator& op, const Int4Problem& problem) {
  const Int4Case& c = problem.shape();
  const Int4MmArgs args = problem.args();
  const int4::Weight& w = args.weight;
  std::vector<double> bounds(static_cast<size_t>(c.M * c.N));
  for (int64_t m = 0; m < c.M; ++m) {
    float max_magnitude = 0;
    bool finite = true;
    for (int64_t k = 0; k < c.K; ++k) {
      finite = finite && is_finite(problem.x(m, k));
      max_magnitude = std::fmax(max_magnitude, std::fabs(problem.x(m, k)));
    }
    const float x_scale = max_magnitude / 127.0f;
    const bool quantized = op.dynamic && finite && x_scale != 0;
    for (int64_t n = 0; n < c.N; ++n) {
      double factored = 0, weighted = 0, x_sum = 0, tiny = 0;
      for (int64_t k = 0; k < c.K; ++k) {
        const int64_t g = k / c.group_size;
        const double code = w.code(n, k), zero_point = w.zero_point_at(n, g), scale = std::fabs(w.scale_at(n, g));
        double x = std::fabs(problem.x(m, k));
        if (quantized) x = std::nearbyint(static_cast<float>(x) / x_scale) * double{x_scale};
        factored += x * (code + std::fabs(zero_point)) * scale;
        weighted += x * std::fabs(code - zero_point) * scale;
        x_sum += x;
        tiny += 0x1p-149 * (1 + scale + x);
      }
      double bound = 0;
      if (quantized) {
        const double additions = static_cast<double>(ceil_div(c.K, 32) + c.G());
        bound = (additions + 8) * 0x1p-24 * factored;
      } else {
        bound = static_cast<double>(c.K + 8) * 0x1p-24 * factored;
        if (c.x_type == FloatType::f16) bound += unit_roundoff(c.x_type) * weighted + 0x1p-25 * x_sum;
        if (c.x_type == FloatType::bf16) bound += unit_roundoff(c.x_type) * weighted + 0x1p-134 * x_sum;
      }
      bounds[m * c.N + n] = bound + 0x1p-23 * std::fabs(problem.bias(n)) + tiny + 0x1p-149;
    }
  }
  return bounds;
}

enum class NonFinite { same_class, any };

// Each element of y lies between reference - bound and reference + bound, all rounded to x's type; NaN and the infinities are where the
// reference has them (or, with NonFinite::any, are not finite there).
void expect_near(const std::vector<uint8_t>& y, const std::vector<double>& reference, const std::vector<double>& bound,
                 const Int4Case& c, NonFinite non_finite = NonFinite::same_class) {
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

void expect_exact(const std::vector<uint8_t>& y, const std::vector<double>& reference, const Int4Case& c) {
  for (int64_t i = 0; i < c.M * c.N; ++i) {
    ASSERT_EQ(y_at(y, c.x_type, i), round_to(c.x_type, static_cast<float>(reference[i])))
        << "y[" << i / c.N << ", " << i % c.N << "]";
  }
}

class MmTest : public testing::Test {
 protected:
  explicit MmTest(const Operator& op) : op_(op), kernels_(op.kernels()) {}

  // Runs every kernel that takes the problem and hands its result to check(y).
  template <class Check>
  void for_each_kernel(Int4Problem& problem, const Check& check) {
    for (const Int4MmKernel& kernel : kernels_) {
      if (!takes(kernel, problem.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + text_of(problem.shape()));
      check(problem.run(kernel.name, kernel.run, std_threads(problem.shape().threads)));
      if (HasFatalFailure()) return;
    }
  }

  void expect_exact_in(const Int4Case& c) {
    Int4Problem problem(c);
    problem.fill_exact(random_, op_.dynamic);
    const std::vector<double> reference = reference_of(op_, problem);
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, c); });
  }

  void expect_near_in(Int4Problem& problem, NonFinite non_finite = NonFinite::same_class) {
    const std::vector<double> reference = reference_of(op_, problem), bound = error_bound(op_, problem);
    for_each_kernel(problem,
                    [&](const std::vector<uint8_t>& y) { expect_near(y, reference, bound, problem.shape(), non_finite); });
  }

  // Random problems without a bias, changed by set_zeros, give exact zeros.
  template <class SetZeros>
  void expect_zeros_with(const SetZeros& set_zeros) {
    for (int64_t i = 0; i < case_count(30); ++i) {
      Int4Case c = random_case(random_, 100000);
      c.bias_type.reset();
      Int4Problem problem(c);
      problem.fill_ordinary(random_);
      set_zeros(problem);
      for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        for (int64_t j = 0; j < c.M * c.N; ++j)
          ASSERT_EQ(y_at(y, c.x_type, j), 0.0f) << "y[" << j / c.N << ", " << j % c.N << "]";
      });
      if (HasFatalFailure()) return;
    }
  }

  const Operator op_;
  const std::vector<Int4MmKernel> kernels_;
  Random random_{0};
};

// What holds for both operators.
class Int4Mm : public MmTest, public testing::WithParamInterface<Operator> {
 protected:
  Int4Mm() : MmTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(, Int4Mm, testing::Values(weight_only, dynamic),
                         [](const testing::TestParamInfo<Operator>& info) { return info.param.name; });

class Int4WeightOnlyMm : public MmTest {
 protected:
  Int4WeightOnlyMm() : MmTest(weight_only) {}
};

class Int4DynamicMm : public MmTest {
 protected:
  Int4DynamicMm() : MmTest(dynamic) {}
};

// Values with which the product is exact in any order of summation: one wrong nibble, group, row or rounding is one wrong bit. Every
// length of a row with every group size,
TEST_P(Int4Mm, IsExactForEveryLengthAndGroupSize) {
  for (const int64_t K : {0,  1,  2,  3,   7,   8,   15,  16,  17,  31,  32,  33,  47,  63,  64,
                          65, 95, 96, 100, 127, 128, 129, 130, 255, 256, 257, 384, 512, 513, 1000}) {
    for (const int64_t group_size : {1, 2, 3, 7, 8, 16, 31, 32, 33, 48, 64, 96, 100, 128, 256, 1024}) {
      for (const int64_t M : {1, 5}) {
        if (!is_selected(random_)) continue;
        expect_exact_in(with_random_types({M, 3, K, group_size}, random_));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// every number of rows of x with every number of rows of the weight, up to beyond any block of either,
TEST_P(Int4Mm, IsExactForEveryNumberOfRows) {
  for (int64_t M = 0; M <= 40; ++M) {
    for (int64_t N = 0; N <= 40; N += 1 + (M + N) % 3) {
      if (!is_selected(random_)) continue;
      expect_exact_in(with_random_types({M, N, random_.one_of<int64_t>({32, 40, 64, 70, 128}), 32}, random_));
      if (HasFatalFailure()) return;
    }
  }
}

// and anything else.
TEST_P(Int4Mm, IsExactForRandomShapes) {
  for (int64_t i = 0; i < case_count(400); ++i) {
    expect_exact_in(random_case(random_, i % 20 == 0 ? 2000000 : 100000));
    if (HasFatalFailure()) return;
  }
}

TEST_P(Int4Mm, IsNearTheReferenceForOrdinaryValues) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    Int4Problem problem(random_case(random_, i % 20 == 0 ? 2000000 : 100000));
    problem.fill_ordinary(random_);
    expect_near_in(problem);
    if (HasFatalFailure()) return;
  }
}

// Shapes of layers, cut down in one dimension: many pieces along each dimension, the last ones partial.
TEST_P(Int4Mm, IsNearTheReferenceForLayers) {
  const Int4Case layers[] = {{1, 70, 4096, 128}, {5, 40, 5120, 32},   {8, 33, 11008, 128}, {12, 136, 2304, 64},
                             {31, 72, 3072, 96}, {67, 264, 1160, 32}, {130, 40, 1152, 384}};
  for (const Int4Case& layer : layers) {
    Int4Case c = with_random_types(layer, random_);
    if (c.x_type == FloatType::f32) c.x_type = FloatType::bf16;  // as layers have it
    c.row_padding = random_.one_of<int64_t>({0, 64});            // rows as aligned as they are in models
    Int4Problem problem(c);
    problem.fill_ordinary(random_);
    expect_near_in(problem);
    if (HasFatalFailure()) return;
  }
}

// The bits of an unused last nibble are not zero in every checkpoint.
TEST_P(Int4Mm, IgnoresTheUnusedNibble) {
  for (const int64_t unused : {0, 15}) {
    Int4Problem problem({3, 5, 33, 32});
    problem.fill_exact(random_, op_.dynamic);
    for (int64_t n = 0; n < 5; ++n) problem.set_code(n, 33, unused);
    const std::vector<double> reference = reference_of(op_, problem);
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
  }
}

// Rows that lie so far apart that the last ones begin beyond 2^31 bytes and elements: indices of 32 bits would not reach them.
TEST_P(Int4Mm, RowsMayLieFarApart) {
  constexpr int64_t M = 140, N = 140, K = 64, stride = int64_t{1} << 24;
  auto memory = [](int64_t bytes) {  // zeros that take no room until they are written
    void* pages =
        mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return std::unique_ptr<void, std::function<void(void*)>>(pages, [=](void* p) { munmap(p, static_cast<size_t>(bytes)); });
  };
  const auto x = memory(M * stride * 4), packed = memory(N * stride), scale = memory(N * stride * 4),
             zero_point = memory(N * stride * 4);
  for (const void* pages : {x.get(), packed.get(), scale.get(), zero_point.get()}) ASSERT_NE(pages, MAP_FAILED);

  Int4Problem problem({M, N, K, 32, FloatType::f32, FloatType::f32, FloatType::f32});
  problem.fill_exact(random_, op_.dynamic);
  const std::vector<double> reference = reference_of(op_, problem);
  Int4MmArgs args = problem.args();
  auto spread = [](const void* rows, void* spread_rows, int64_t count, int64_t row_bytes, int64_t stride_bytes) {
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(static_cast<uint8_t*>(spread_rows) + i * stride_bytes, static_cast<const uint8_t*>(rows) + i * row_bytes,
                  static_cast<size_t>(row_bytes));
    }
  };
  spread(args.mm.x, x.get(), M, K * 4, stride * 4);
  spread(args.weight.packed, packed.get(), N, K / 2, stride);
  spread(args.weight.scale, scale.get(), N, 2 * 4, stride * 4);
  spread(args.weight.zero_point, zero_point.get(), N, 2 * 4, stride * 4);
  args.mm.x = x.get();
  args.weight.packed = static_cast<const uint8_t*>(packed.get());
  args.weight.scale = scale.get();
  args.weight.zero_point = zero_point.get();
  args.mm.x_row_stride = args.weight.packed_row_stride = args.weight.scale_row_stride = args.weight.zero_point_row_stride =
      stride;
  std::vector<uint8_t> y(M * N * 4);
  args.mm.y = y.data();
  for (const Int4MmKernel& kernel : kernels_) {
    if (!takes(kernel, args)) continue;
    SCOPED_TRACE(kernel.name);
    describe_current_case(kernel.name);
    ASSERT_EQ(kernel.run(args, std_threads(2)), Status::ok);
    expect_exact(y, reference, problem.shape());
  }
}

TEST_P(Int4Mm, DoesNotDependOnThreadsOrRuns) {
  const Parallel one_worker_of_seven{7, [](int64_t, void (*worker)(void*), void* context) { worker(context); }};
  for (int64_t i = 0; i < case_count(40); ++i) {
    Int4Problem problem(random_case(random_, 1000000));
    problem.fill_ordinary(random_);
    for (const Int4MmKernel& kernel : kernels_) {
      if (!takes(kernel, problem.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " " + text_of(problem.shape()));
      const std::vector<uint8_t> once = problem.run(kernel.name, kernel.run, Parallel{});
      ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, Parallel{}), once)) << "another run gives other bits";
      for (const int64_t threads : {2, 3, 7}) {
        ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, std_threads(threads)), once))
            << threads << " threads give other bits";
      }
      ASSERT_TRUE(same_bytes(problem.run(kernel.name, kernel.run, one_worker_of_seven), once)) << "an idle pool gives other bits";
    }
  }
}

// Row m of y is a function of row m of x: other values in other rows, NaN and huge ones among them, change none of its bits.
TEST_P(Int4Mm, RowsAreIndependent) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    Int4Case c = random_case(random_, 300000);
    if (c.M < 2 || c.N == 0) continue;
    Int4Problem problem(c);
    problem.fill_ordinary(random_);
    const int64_t kept = random_.integer(0, c.M - 1);
    std::vector<std::vector<uint8_t>> before;
    auto row_of = [&](const std::vector<uint8_t>& y) {
      const int64_t bytes = c.N * size_of(c.x_type);
      return std::vector<uint8_t>(y.begin() + kept * bytes, y.begin() + (kept + 1) * bytes);
    };
    for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { before.push_back(row_of(y)); });
    for (const double other : {0.0, 3.0, 1e30, double{quiet_nan}, double{infinity}}) {
      for (int64_t m = 0; m < c.M; ++m)
        for (int64_t k = 0; k < c.K; ++k)
          if (m != kept) problem.set_x(m, k, other);
      size_t kernel = 0;
      for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        ASSERT_TRUE(same_bytes(row_of(y), before[kernel++])) << "row " << kept << " changed when the others became " << other;
      });
      if (HasFatalFailure()) return;
    }
  }
}

// A kernel that is said to be batch-invariant gives a row the same bits alone as among others.
TEST_P(Int4Mm, RowsDoNotDependOnTheirNumber) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    const Int4Case c = random_case(random_, 300000);
    if (c.M < 2 || c.N == 0) continue;
    Int4Case alone = c;
    alone.M = 1;
    Int4Problem problem(c), row(alone);
    Random values = random_, same_values = random_;
    problem.fill_ordinary(values);
    row.fill_ordinary(same_values);
    const int64_t m = random_.integer(0, c.M - 1);
    // The weight's random numbers follow those of x, of which the two problems have different numbers: copy.
    for (int64_t k = 0; k < c.K; ++k) row.set_x(0, k, problem.x(m, k));
    const int4::Weight w = problem.args().weight;
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t k = 0; k < c.K; ++k) row.set_code(n, k, w.code(n, k));
      for (int64_t g = 0; g < c.G(); ++g) {
        row.set_scale(n, g, w.scale_at(n, g));
        row.set_zero_point(n, g, w.zero_point_at(n, g));
      }
      row.set_bias(n, problem.bias(n));
    }
    for (const Int4MmKernel& kernel : kernels_) {
      if (!kernel.batch_invariant || !takes(kernel, problem.args()) || !takes(kernel, row.args())) continue;
      SCOPED_TRACE(std::string(kernel.name) + " row " + std::to_string(m) + " of " + text_of(c));
      const std::vector<uint8_t> all = problem.run(kernel.name, kernel.run, Parallel{});
      const int64_t bytes = c.N * size_of(c.x_type);
      ASSERT_TRUE(same_bytes(row.run(kernel.name, kernel.run, Parallel{}),
                             std::vector<uint8_t>(all.begin() + m * bytes, all.begin() + (m + 1) * bytes)));
    }
  }
}

TEST_P(Int4Mm, ZeroActivationsGiveExactZeros) {
  expect_zeros_with([](Int4Problem& problem) {
    for (int64_t m = 0; m < problem.shape().M; ++m)
      for (int64_t k = 0; k < problem.shape().K; ++k) problem.set_x(m, k, 0);
  });
}

TEST_P(Int4Mm, ZeroScalesGiveExactZeros) {
  expect_zeros_with([](Int4Problem& problem) {
    for (int64_t n = 0; n < problem.shape().N; ++n)
      for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_scale(n, g, 0);
  });
}

// Codes that equal their zero point, which is 8, with scales that are not zero.
TEST_P(Int4Mm, ZeroWeightsGiveExactZeros) {
  expect_zeros_with([](Int4Problem& problem) {
    for (int64_t n = 0; n < problem.shape().N; ++n) {
      for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_zero_point(n, g, 8);
      for (int64_t k = 0; k < problem.shape().K; ++k) problem.set_code(n, k, 8);
    }
  });
}

// One group of zeros among others takes nothing from them and adds nothing.
TEST_P(Int4Mm, AGroupOfZerosAddsNothing) {
  Int4Problem problem({4, 6, 160, 32});
  problem.fill_exact(random_, op_.dynamic);
  for (int64_t n = 0; n < 6; ++n) problem.set_scale(n, 2, 0);
  const std::vector<double> reference = reference_of(op_, problem);
  for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
}

// Rows of x from the smallest subnormal to the largest number of its type, next to ordinary ones; weights such that y is representable.
TEST_P(Int4Mm, KeepsRangeOfTinyAndHugeRows) {
  const std::vector<double> magnitudes[] = {
      {1, 0x1p-149, 0x1p-140, 1e-40, 1e-36, 1e-30, 1e-20, 1e20, 1e30, 1e35, 3e38},  // f32
      {1, 0x1p-24, 0x1p-20, 0x1p-14, 6e4},                                          // f16
      {1, 0x1p-133, 0x1p-130, 1e-36, 1e-30, 1e-20, 1e20, 1e30, 1e35, 3e38},         // bf16
  };
  for (int64_t i = 0; i < case_count(60); ++i) {
    Int4Case c = random_case(random_, 200000);
    c.scale_type = c.x_type == FloatType::f16 ? FloatType::f32 : c.scale_type;
    const std::vector<double>& of_type = magnitudes[static_cast<int>(c.x_type)];
    Int4Problem problem(c);
    problem.fill_ordinary(random_);
    for (int64_t m = 0; m < c.M; ++m) {
      const double magnitude = of_type[random_.integer(0, static_cast<int64_t>(of_type.size()) - 1)];
      for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, magnitude * random_.uniform(-1, 1));
    }
    // Scales of 2^-14 / K keep |y| below max|x| / 2^10, and so do fp16's subnormal ones.
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t g = 0; g < c.G(); ++g) problem.set_scale(n, g, random_.uniform(0x1p-15, 0x1p-14) / static_cast<double>(c.K));
      problem.set_bias(n, 0);
    }
    expect_near_in(problem);
    if (HasFatalFailure()) return;
  }
}

// Subnormal scales and zero points, with rows of x that bring the product back to ordinary numbers.
TEST_P(Int4Mm, KeepsSubnormalScales) {
  for (int64_t i = 0; i < case_count(30); ++i) {
    Int4Case c = random_case(random_, 100000);
    if (c.x_type == FloatType::f16) c.x_type = FloatType::bf16;
    Int4Problem problem(c);
    problem.fill_ordinary(random_);
    const double smallest = c.scale_type == FloatType::f32 ? 0x1p-149 : c.scale_type == FloatType::f16 ? 0x1p-24 : 0x1p-133;
    for (int64_t n = 0; n < c.N; ++n)
      for (int64_t g = 0; g < c.G(); ++g) problem.set_scale(n, g, smallest * static_cast<double>(random_.integer(1, 100)));
    for (int64_t m = 0; m < c.M; ++m)
      for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, 1e15 * random_.normal());
    expect_near_in(problem);
    if (HasFatalFailure()) return;
  }
}

// NaN and the infinities in one operand at a time: y has NaN and the infinities where the reference has them and is right elsewhere.
TEST_P(Int4Mm, PropagatesNanAndInf) {
  for (int64_t i = 0; i < case_count(240); ++i) {
    Int4Case c = random_case(random_, 30000);
    if (c.M == 0 || c.N == 0 || c.K == 0) continue;
    Int4Problem problem(c);
    problem.fill_ordinary(random_);
    const char* operand = "";
    for (int64_t count = random_.integer(1, 3); count > 0; --count) {
      const double value = random_.one_of<double>({quiet_nan, infinity, -infinity});
      const int64_t n = random_.integer(0, c.N - 1), g = random_.integer(0, c.G() - 1);
      switch (i % 4) {
        case 0: operand = "x", problem.set_x(random_.integer(0, c.M - 1), random_.integer(0, c.K - 1), value); break;
        case 1: operand = "scale", problem.set_scale(n, g, value); break;
        case 2: operand = "zero point", problem.set_zero_point(n, g, value); break;
        case 3: operand = "bias", problem.set_bias(n, value); break;
      }
    }
    SCOPED_TRACE(operand);
    // A quantized row of x has zeros where x has small numbers, and 0 * Inf is NaN where small * Inf is Inf: the two kinds of not finite are
    // not told apart where a weight is not finite.
    expect_near_in(problem, op_.dynamic && i % 4 != 0 ? NonFinite::any : NonFinite::same_class);
    if (HasFatalFailure()) return;
  }
}

// An infinite x times a weight that is exactly zero is NaN, as in the dense product.
TEST_P(Int4Mm, InfinityTimesZeroIsNan) {
  Int4Problem problem({1, 2, 64, 32});
  problem.fill_exact(random_, op_.dynamic);
  problem.set_x(0, 40, infinity);
  problem.set_code(0, 40, 8);
  problem.set_code(1, 40, 9);
  problem.set_scale(1, 1, 1);
  for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
    EXPECT_TRUE(std::isnan(y_at(y, FloatType::f32, 0)));
    EXPECT_EQ(y_at(y, FloatType::f32, 1), infinity);
  });
}

// int4_dynamic_mm rounds x / scale by division, half to even: x = (i + 1/2) * 3 with a scale of exactly 3 are ties that a product with
// the rounded reciprocal of 3 does not see.
TEST_F(Int4DynamicMm, QuantizesActivationsByDivisionHalfToEven) {
  Int4Problem problem({1, 1, 128, 128});
  problem.fill_exact(random_, true);
  for (int64_t k = 0; k < 127; ++k) problem.set_x(0, k, 3 * (static_cast<double>(k) + 0.5 - 63));
  problem.set_x(0, 127, 3 * 127);
  const std::vector<double> reference = reference_of(op_, problem);
  for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
}

// DESIGN's contract: the error, as a relative Frobenius norm on random inputs, is at most that of the dense product in x's type.
//
// Dense, in fp16 and bf16: the weight rounded to that type, fp32 accumulation, the result rounded; computed here with 16 interleaved sums, as
// a vector unit does. In fp32: K additions to a sum that grows as a random walk, each with a rounding error that is uniform in +-2^-24 of a
// sum of binary exponent e, on average 0.4 * 2^-24 of it, give 0.4 / sqrt(2) * sqrt(K) < 0.3 * sqrt(K) units of 2^-24 of the
// result; one more unit for rounding the weight, the products and the result.
//
// Two independent error vectors of n elements differ in norm by their sampling error, about 0.45 / sqrt(n) each: 4 of these.
TEST_F(Int4WeightOnlyMm, ErrorIsAtMostThatOfTheDenseProduct) {
  struct Size {
    int64_t K, group_size;
  };
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    for (const Size size : {Size{64, 32}, Size{384, 128}, Size{1000, 100}, Size{4096, 128}}) {
      Int4Case c{16, 64, size.K, size.group_size};
      c.x_type = type;
      c.zero_point_type = FloatType::f32;
      Int4Problem problem(c);
      problem.fill_ordinary(random_);
      const std::vector<double> reference = reference_of(op_, problem);
      const int4::Weight w = problem.args().weight;
      double norm = 0, dense_error = 0;
      for (int64_t m = 0; m < c.M; ++m) {
        for (int64_t n = 0; n < c.N; ++n) {
          float sums[16] = {};
          for (int64_t k = 0; k < c.K; ++k) {
            const int64_t g = k / c.group_size;
            const float weight = (static_cast<float>(w.code(n, k)) - w.zero_point_at(n, g)) * w.scale_at(n, g);
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
      for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
        double error = 0;
        for (int64_t i = 0; i < c.M * c.N; ++i) error += std::pow(y_at(y, type, i) - reference[i], 2);
        error = std::sqrt(error / norm);
        EXPECT_LE(error, limit);
      });
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
