// Every nf4_mm and nf4_mm_transposed kernel: what all products owe (mm_suite.h), and what nf4 owes besides.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "csrc/spec/nf4_quantize.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"
#include "tests/cpp/nf4_problem.h"

namespace torchao_ops::test {
namespace {

struct Nf4Mm {
  using Problem = Nf4Problem;
  using Kernel = Nf4MmKernel;
  static constexpr const char* name = "nf4_mm";
  static constexpr bool dynamic = false;
  static constexpr int64_t zero_code = nf4::zero_code;
  static std::vector<Kernel> kernels() { return nf4_mm_kernels(); }
  static void reference(const Nf4MmArgs& args, double* y) { nf4_mm_ref(args, y); }
};

struct Nf4MmTransposed : Nf4Mm {
  using Problem = Nf4TransposedProblem;
  static constexpr const char* name = "nf4_mm_transposed";
  static std::vector<Kernel> kernels() { return nf4_mm_transposed_kernels(); }
  static void reference(const Nf4MmArgs& args, double* y) { nf4_mm_transposed_ref(args, y); }
};

using Both = testing::Types<Nf4Mm, Nf4MmTransposed>;
INSTANTIATE_TYPED_TEST_SUITE_P(Nf4, Mm, Both, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Nf4, WeightOnlyMm, Both, OperatorNames);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DynamicMm);  // nf4 has no such product

template <class Operator>
class Nf4Blocks : public Mm<Operator> {};
TYPED_TEST_SUITE(Nf4Blocks, Both, OperatorNames);

// Rows that begin within blocks and within bytes, blocks longer than rows and than the weight.
TYPED_TEST(Nf4Blocks, Straddle) {
  for (const int64_t K : {1, 31, 33, 63, 65, 96, 97, 160, 255, 321}) {
    for (const int64_t N : {1, 2, 3, 5, 31, 67, 130}) {
      for (const int64_t block_size : {32, 64, 128, 4096}) {
        if (!is_selected(this->random_)) continue;
        MmCase c = with_random_types({this->random_.template one_of<int64_t>({1, 2, 7}), N, K, block_size}, this->random_);
        this->expect_exact_in(c);
        if (this->HasFatalFailure()) return;
        typename TypeParam::Problem problem(c);
        problem.fill_ordinary(this->random_);
        this->expect_near_in(problem);
        if (this->HasFatalFailure()) return;
      }
    }
  }
}

// Each code alone, so that it shows which number a kernel takes it for.
TYPED_TEST(Nf4Blocks, EachCodeIsItsNumber) {
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    MmCase c{16, 16, 64, 64};
    c.x_type = type;
    typename TypeParam::Problem problem(c);
    for (int64_t i = 0; i < 16; ++i) {
      for (int64_t k = 0; k < 64; ++k) {
        problem.set_x(i, k, k == 3 * i + 1 ? 1 : 0);
        problem.set_code(i, k, (i + k) % 16);
      }
      for (int64_t g = 0; g < problem.shape().G(); ++g) problem.set_scale(i, g, 1);
    }
    this->expect_near_in(problem);
    if (this->HasFatalFailure()) return;
  }
}

#ifdef TORCHAO_OPS_TEST_CUDA
// A code that always has the same rounding error must not have one that adds up: with activations of one sign and a normally distributed weight the
// error is still near that of a dense product, whose weights are rounded one by one. (Numbers rounded to the nearest bf16 give 6 times as much.)
TYPED_TEST(Nf4Blocks, ErrorsOfCodesCancel) {
  for (const FloatType type : {FloatType::f16, FloatType::bf16}) {
    MmCase c{4, 32, 2048, 64};
    c.x_type = type;
    typename TypeParam::Problem problem(c);
    problem.fill_ordinary(this->random_);
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t k = 0; k < c.K; ++k) {
        const double w = this->random_.normal() / 2.5;
        int64_t code = 0;
        while (code < 15 && nf4::midpoint_above(static_cast<int>(code)) < w) ++code;
        problem.set_code(n, k, code);
      }
    }
    for (int64_t m = 0; m < c.M; ++m)
      for (int64_t k = 0; k < c.K; ++k) problem.set_x(m, k, this->random_.uniform(0, 1));
    const std::vector<double> reference = reference_of<TypeParam>(problem);
    const auto w = problem.weight();
    double dense_error = 0;
    for (int64_t m = 0; m < c.M; ++m) {
      for (int64_t n = 0; n < c.N; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < c.K; ++k) {
          const float weight = w.number(n, k) * w.scale_at(n, w.group_position(n, k) / w.group_size);
          sum += double{problem.x(m, k)} * round_to(type, weight);
        }
        dense_error += std::pow(round_to(type, static_cast<float>(sum)) - reference[m * c.N + n], 2);
      }
    }
    this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) {
      double error = 0;
      for (int64_t i = 0; i < c.M * c.N; ++i) error += std::pow(y_at(y, type, i) - reference[i], 2);
      EXPECT_LE(std::sqrt(error), 2 * std::sqrt(dense_error)) << name_of(type);
    });
  }
}

// A weight that is dequantized in two parts, of rows or of columns, of which the second begins within a block.
TYPED_TEST(Nf4Blocks, OfALargeWeight) {
  if (case_count(100) < 10) return;  // a build that makes so few cases needs minutes for this one
  typename TypeParam::Problem problem({1, 1030, 16401, 4096});
  problem.fill_ordinary(this->random_);
  this->expect_near_in(problem);
}
#endif

// The low nibble that follows an odd number of elements is not zero_code in every checkpoint.
TYPED_TEST(Nf4Blocks, IgnoreTheUnusedNibble) {
  for (const uint8_t unused : {uint8_t{0}, uint8_t{15}}) {
    typename TypeParam::Problem problem({3, 5, 33, 32});
    problem.fill_exact(this->random_, false);
    const nf4::Weight w = problem.args().weight;
    uint8_t& last = const_cast<uint8_t*>(w.packed)[w.N * w.K / 2];
    last = static_cast<uint8_t>((last & 0xf0) | unused);
    const std::vector<double> reference = reference_of<TypeParam>(problem);
    this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
  }
}

}  // namespace
}  // namespace torchao_ops::test
