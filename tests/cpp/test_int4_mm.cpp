// Every int4_mm and int4_dynamic_mm kernel: what all products owe (mm_suite.h), and what int4 owes besides.
#include <gtest/gtest.h>

#include <vector>

#include "tests/cpp/int4_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_suite.h"

namespace torchao_ops::test {
namespace {

struct Int4Mm {
  using Problem = Int4Problem;
  using Kernel = Int4MmKernel;
  static constexpr const char* name = "int4_mm";
  static constexpr bool dynamic = false;
  static constexpr int64_t zero_code = 8;
  static std::vector<Kernel> kernels() { return int4_mm_kernels(); }
  static void reference(const Int4MmArgs& args, double* y) { int4_mm_ref(args, y); }
};

struct Int4DynamicMm : Int4Mm {
  static constexpr const char* name = "int4_dynamic_mm";
  static constexpr bool dynamic = true;
  static std::vector<Kernel> kernels() { return int4_dynamic_mm_kernels(); }
  static void reference(const Int4MmArgs& args, double* y) { int4_dynamic_mm_ref(args, y); }
};

using Both = testing::Types<Int4Mm, Int4DynamicMm>;
INSTANTIATE_TYPED_TEST_SUITE_P(Int4, Mm, Both, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Int4, WeightOnlyMm, Int4Mm, OperatorNames);
INSTANTIATE_TYPED_TEST_SUITE_P(Int4, DynamicMm, Int4DynamicMm, OperatorNames);

template <class Operator>
class Int4Codes : public Mm<Operator> {};
TYPED_TEST_SUITE(Int4Codes, Both, OperatorNames);

// The bits of an unused last nibble are not zero in every checkpoint.
TYPED_TEST(Int4Codes, IgnoresTheUnusedNibble) {
  for (const int64_t unused : {0, 15}) {
    Int4Problem problem({3, 5, 33, 32});
    problem.fill_exact(this->random_, TypeParam::dynamic);
    for (int64_t n = 0; n < 5; ++n) problem.set_code(n, 33, unused);
    const std::vector<double> reference = reference_of<TypeParam>(problem);
    this->for_each_kernel(problem, [&](const std::vector<uint8_t>& y) { expect_exact(y, reference, problem.shape()); });
  }
}

}  // namespace
}  // namespace torchao_ops::test
