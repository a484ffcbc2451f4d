// Every fp8_mm and fp8_dynamic_mm kernel: what all products owe (mm_suite.h), and what fp8 owes besides.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/cpp/fp8_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"

namespace torchao_ops::test {
namespace {

struct Fp8Mm {
  using Problem = Fp8Problem;
  using Kernel = Fp8MmKernel;
  static constexpr const char* name = "fp8_mm";
  static constexpr bool dynamic = false;
  static constexpr int64_t zero_code = 0;
  static std::vector<Kernel> kernels() { return fp8_mm_kernels(); }
  static void reference(const Fp8MmArgs& args, double* y) { fp8_mm_ref(args, y); }
};

struct Fp8DynamicMm : Fp8Mm {
  static constexpr const char* name = "fp8_dynamic_mm";
  static constexpr bool dynamic = true;
  static std::vector<Kernel> kernels() { return fp8_dynamic_mm_kernels(); }
  static void reference(const Fp8MmArgs& args, double* y) { fp8_dynamic_mm_ref(args, y); }
};

using Both = testing::Types<Fp8Mm, Fp8DynamicMm>;
INSTANTIATE_TYPED_TEST_SUITE_P(Fp8, Mm, Both, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Fp8, WeightOnlyMm, Fp8Mm, OperatorNames);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DynamicMm);  // of rounding to int8

template <class Operator>
class Fp8 : public Mm<Operator> {};
TYPED_TEST_SUITE(Fp8, Both, OperatorNames);

constexpr Float8Type types[] = {Float8Type::e4m3fn, Float8Type::e5m2};

// All 256 codes, one a row, at each place of a chunk: y is the code's number times a power of two (and 7, where x is rounded), NaN and Inf too.
TYPED_TEST(Fp8, EachCodeAlone) {
  for (const Float8Type type : types) {
    const float x = TypeParam::dynamic ? largest_of(type) : 1,
                factor = TypeParam::dynamic ? 0.875f : 0.5f;  // the largest are 7 * 2^i
    for (const FloatType x_type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
      for (int64_t round = 0; round < case_count(70); ++round) {
        const int64_t i = 37 * round % 70, K = (i / 4 + 1) * 4;
        MmCase c{this->random_.integer(1, 2), 256, K, INT64_MAX};
        c.x_type = x_type;
        c.float8_type = type;
        Fp8Problem problem(c);
        for (int64_t m = 0; m < c.M; ++m)
          for (int64_t k = 0; k < K; ++k) problem.set_x(m, k, k == i ? x : x / 2);
        for (int64_t n = 0; n < 256; ++n) {
          for (int64_t k = 0; k < K; ++k) problem.set_byte(n, k, k == i ? static_cast<uint8_t>(n) : 0);
          problem.set_scale(n, 0, factor / x);
        }
        this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
          for (int64_t j = 0; j < c.M * 256; ++j) {
            const uint8_t code = static_cast<uint8_t>(j % 256);
            const float number = factor * load_float8(&code, type, 0), got = y_at(y, x_type, j);
            ASSERT_TRUE(std::isnan(number) ? std::isnan(got) : got == number) << int{code} << " gives " << got;
          }
        });
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

// Any codes, the largest numbers, Inf and NaN among them.
TYPED_TEST(Fp8, AnyCodes) {
  for (int64_t i = 0; i < case_count(60); ++i) {
    MmCase c = random_case(this->random_, 100000);
    if (c.x_type == FloatType::f16) c.x_type = FloatType::f32;
    Fp8Problem problem(c);
    problem.fill_ordinary(this->random_);
    const int64_t finite = code_count(c.float8_type, largest_of(c.float8_type));
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t k = 0; k < c.K; ++k) {
        problem.set_byte(n, k, static_cast<uint8_t>(this->random_.integer(0, 1) << 7 | this->random_.integer(0, finite - 1)));
      }
      if (c.K > 0 && n % 3 == 1) {
        problem.set_byte(n, this->random_.integer(0, c.K - 1), static_cast<uint8_t>(this->random_.integer(finite, 127)));
      }
    }
    this->expect_near_in(problem, TypeParam::dynamic ? NonFinite::any : NonFinite::same_class);
    if (this->HasFatalFailure()) return;
  }
}

// The scales of the operators: for the tensor, a row, 128 x 128 elements, and 128 of a row.
TYPED_TEST(Fp8, EachGranularity) {
  for (const Float8Type type : types) {
    for (const int64_t row_block : {fp8::all, int64_t{1}, fp8::block}) {
      for (const int64_t group_size : {fp8::all, fp8::block}) {
        MmCase c = with_random_types({this->random_.template one_of<int64_t>({1, 3, 17}), 140, 272, group_size}, this->random_);
        c.float8_type = type;
        c.row_block = row_block;
        this->expect_exact_in(c);
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

// Every rounding of x that there is, seen through a weight that is the identity: numbers of the type, the middles between them and their neighbours,
// times the scale of their row. Dividing by 41 is not multiplying by the rounded 1 / 41.
TEST(Fp8DynamicMm, RoundsActivationsToNearestEven) {
  constexpr int64_t K = 64;
  for (const Float8Type type : types) {
    for (const float scale : {4.0f, 41.0f}) {
      std::vector<float> values;
      for (int code = 0; code + 1 < code_count(type, largest_of(type)); ++code) {
        const uint8_t codes[2] = {static_cast<uint8_t>(code), static_cast<uint8_t>(code + 1)};
        const float low = load_float8(codes, type, 0), middle = (low + load_float8(codes, type, 1)) / 2;
        for (const float value : {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, infinity)}) {
          values.push_back(value * scale);
          values.push_back(-value * scale);
        }
      }
      for (size_t begin = 0; begin < values.size(); begin += K - 1) {
        MmCase c{1, K, K, INT64_MAX};
        c.float8_type = type;
        Fp8Problem problem(c);
        for (int64_t k = 0; k < K - 1; ++k) problem.set_x(0, k, values[(begin + static_cast<size_t>(k)) % values.size()]);
        problem.set_x(0, K - 1, scale * largest_of(type));
        for (int64_t n = 0; n < K; ++n) {
          for (int64_t k = 0; k < K; ++k) problem.set_code(n, k, n == k ? code_count(type, 1) - 1 : 0);
          problem.set_scale(n, 0, 1);
        }
        for (const Fp8MmKernel& kernel : fp8_dynamic_mm_kernels()) {
          if (!takes(kernel, problem.args())) continue;
          SCOPED_TRACE(kernel.name);
          const std::vector<uint8_t> y = problem.run(kernel.name, kernel.run, Parallel{});
          for (int64_t k = 0; k < K; ++k) {
            ASSERT_EQ(y_at(y, FloatType::f32, k), static_cast<float>(problem.quantized(problem.x(0, k), scale)))
                << problem.x(0, k);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
