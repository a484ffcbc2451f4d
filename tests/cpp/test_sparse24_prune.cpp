// sparse24_prune: literals, and every kernel against the reference, byte for byte.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/sparse24_cases.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

using sparse24::ValueType;
constexpr double infinity = std::numeric_limits<double>::infinity();
const double nan = std::nan("");

std::vector<Sparse24PruneKernel> kernels_and_reference() {
  std::vector<Sparse24PruneKernel> kernels = sparse24_prune_kernels();
  kernels.push_back({"reference", Needs::dispatch, nullptr, [](const Sparse24PruneArgs& args, const Parallel&) {
                       sparse24_prune_ref(args);
                       return Status::ok;
                     }});
  return kernels;
}

using Mask = std::vector<uint8_t>;

// The mask of one row by every kernel and the reference, which must agree.
Mask prune(const void* weight, ValueType type, int64_t K) {
  Mask result(static_cast<size_t>(K), 2);
  sparse24_prune_ref({weight, type, K, 1, K, result.data()});
  for (const Sparse24PruneKernel& kernel : kernels_and_reference()) {
    Mask mask(static_cast<size_t>(K), 2);
    EXPECT_EQ(kernel.run({weight, type, K, 1, K, mask.data()}, Parallel{}), Status::ok) << kernel.name;
    EXPECT_EQ(mask, result) << kernel.name;
  }
  return result;
}

Mask prune(const std::vector<double>& row, ValueType type) {
  std::vector<uint8_t> weight(row.size() * 4);
  for (size_t i = 0; i < row.size(); ++i) store_value(row[i], weight.data(), type, static_cast<int64_t>(i));
  return prune(weight.data(), type, static_cast<int64_t>(row.size()));
}

TEST(Sparse24PruneLiterals, TheTwoLargestMagnitudes) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(prune({1, -3, 2, 0, -8, 7, 1, 1}, type), (Mask{0, 1, 1, 0, 1, 1, 0, 0}));
    EXPECT_EQ(prune({0, 0, 0, 5, 1, 2, 3, 4}, type), (Mask{1, 0, 0, 1, 0, 0, 1, 1}));
  }
}

TEST(Sparse24PruneLiterals, OfEqualOnesTheLowerIndex) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(prune({1, 1, 1, 1}, type), (Mask{1, 1, 0, 0}));
    EXPECT_EQ(prune({1, 2, -2, 2}, type), (Mask{0, 1, 1, 0}));
    EXPECT_EQ(prune({1, -2, 1, 1}, type), (Mask{1, 1, 0, 0}));
    EXPECT_EQ(prune({0, 1, 1, -3}, type), (Mask{0, 1, 0, 1}));
    EXPECT_EQ(prune({0, 0, 0, 0}, type), (Mask{1, 1, 0, 0}));
  }
}

TEST(Sparse24PruneLiterals, BothZerosAreTheSame) {
  for (const ValueType type : {ValueType::f32, ValueType::f16, ValueType::bf16, ValueType::e4m3fn}) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(prune({-0.0, 0.0, -0.0, 0.0}, type), (Mask{1, 1, 0, 0}));
    EXPECT_EQ(prune({0.0, -0.0, 1.0, -0.0}, type), (Mask{1, 0, 1, 0}));
  }
}

TEST(Sparse24PruneLiterals, NaNIsLargerThanInf) {
  for (const ValueType type : {ValueType::f32, ValueType::f16, ValueType::bf16}) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(prune({infinity, nan, -infinity, nan}, type), (Mask{0, 1, 0, 1}));
    EXPECT_EQ(prune({9, infinity, nan, 1}, type), (Mask{0, 1, 1, 0}));
    EXPECT_EQ(prune({infinity, -infinity, infinity, 9}, type), (Mask{1, 1, 0, 0}));
  }
  EXPECT_EQ(prune({448, nan, -448, nan}, ValueType::e4m3fn), (Mask{0, 1, 0, 1}));
}

TEST(Sparse24PruneLiterals, EveryNaNIsTheSame) {
  const uint32_t f32[] = {0x7f800001u, 0xffc00000u, 0x7fffffffu, 0x7fc00001u};
  EXPECT_EQ(prune(f32, ValueType::f32, 4), (Mask{1, 1, 0, 0}));
  const uint16_t f16[] = {0x7c00u, 0x7c01u, 0xfe00u, 0x7fffu};
  EXPECT_EQ(prune(f16, ValueType::f16, 4), (Mask{0, 1, 1, 0}));
  const uint16_t bf16[] = {0xff80u, 0xff81u, 0x7fc0u, 0x7fffu};
  EXPECT_EQ(prune(bf16, ValueType::bf16, 4), (Mask{0, 1, 1, 0}));
}

TEST(Sparse24PruneLiterals, TheLowestInt8IsTheLargest) {
  EXPECT_EQ(prune({127, -127, 127, -128}, ValueType::int8), (Mask{1, 0, 0, 1}));
}

TEST(Sparse24PruneLiterals, LastQuadOfFewerThanFour) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(prune({0}, type), (Mask{1}));
    EXPECT_EQ(prune({0, 0}, type), (Mask{1, 1}));
    EXPECT_EQ(prune({1, 2, 3}, type), (Mask{0, 1, 1}));
    EXPECT_EQ(prune({0, 0, 0}, type), (Mask{1, 1, 0}));
    EXPECT_EQ(prune({1, 2, 3, 4, 0}, type), (Mask{0, 0, 1, 1, 1}));
    EXPECT_EQ(prune({1, 2, 3, 4, 7, 5, 6}, type), (Mask{0, 0, 1, 1, 1, 0, 1}));
    EXPECT_EQ(prune({1, 2, 3, 4, 7, 5, 6, 4, 0}, type), (Mask{0, 0, 1, 1, 1, 0, 1, 0, 1}));
  }
}

class Sparse24Prune : public testing::Test {
 protected:
  void expect_equal_in(const Sparse24Case& c, const GuardedRows& weight) {
    GuardedBuffer mask(c.N * c.K, c.placement);
    const Sparse24PruneArgs args{weight.data(), c.type, weight.stride(), c.N, c.K, mask.data()};
    sparse24_prune_ref(args);
    const std::vector<uint8_t> expected = bytes_of(mask);
    for (const Sparse24PruneKernel& kernel : kernels_) {
      if (!takes(kernel, args)) continue;
      const std::string description = std::string(kernel.name) + " " + text_of(c);
      SCOPED_TRACE(description);
      describe_current_case(description.c_str());
      mask.fill_with_pattern();
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      ASSERT_TRUE(mask.slack_is_untouched()) << "wrote outside the mask";
      ASSERT_TRUE(same_bytes(bytes_of(mask), expected));
    }
  }

  const std::vector<Sparse24PruneKernel> kernels_ = sparse24_prune_kernels();
  Random random_{0};
};

TEST_F(Sparse24Prune, EveryLengthWithTies) {
  for (const int64_t K : interesting_columns) {
    for (const ValueType type : all_value_types) {
      if (!is_selected(random_)) continue;
      Sparse24Case c = random_types(3, K, random_);
      c.type = type;
      GuardedRows weight(c, K, size_of(type));
      set_with_ties(c, weight, random_);
      weight.set_writable(false);
      expect_equal_in(c, weight);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Sparse24Prune, AnyBits) {
  for (int64_t i = 0; i < case_count(300); ++i) {
    const Sparse24Case c = random_types(random_.integer(0, 40), random_.integer(0, 300), random_);
    GuardedRows weight(c, c.K, size_of(c.type));
    weight.fill_with_random_bits(random_);
    weight.set_writable(false);
    expect_equal_in(c, weight);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace torchao_ops::test
