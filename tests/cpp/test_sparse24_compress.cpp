// sparse24_compress: literals, and every kernel against the reference, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/spec/sparse24_prune.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/sparse24_cases.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

using sparse24::ValueType;

struct Result {
  std::vector<double> values;
  std::vector<int> bitmask;
  int64_t violation;

  bool operator==(const Result& other) const {
    auto is_same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    return violation == other.violation &&
           (violation >= 0 || (bitmask == other.bitmask &&
                               std::equal(values.begin(), values.end(), other.values.begin(), other.values.end(), is_same)));
  }
};
std::ostream& operator<<(std::ostream& out, const Result& result) {
  out << "violation " << result.violation << ", values";
  for (const double value : result.values) out << " " << value;
  out << ", bitmask";
  for (const int byte : result.bitmask) out << " " << byte;
  return out;
}

// Of rows of K elements by every kernel and the reference, which must agree.
Result compress(const std::vector<double>& rows, int64_t K, ValueType type, const std::vector<uint8_t>& mask = {}) {
  const int64_t N = static_cast<int64_t>(rows.size()) / K;
  std::vector<uint8_t> weight(rows.size() * 4);
  for (size_t i = 0; i < rows.size(); ++i) store_value(rows[i], weight.data(), type, static_cast<int64_t>(i));
  auto run = [&](const auto& kernel) {
    std::vector<uint8_t> values(static_cast<size_t>(N * sparse24::value_columns(K)) * 4);
    std::vector<uint8_t> bitmask(static_cast<size_t>(N * sparse24::bitmask_columns(K)));
    int64_t violation = -2;
    kernel(Sparse24CompressArgs{weight.data(), type, K, mask.empty() ? nullptr : mask.data(), K, N, K, values.data(),
                                bitmask.data(), &violation});
    Result result{{}, {bitmask.begin(), bitmask.end()}, violation};
    for (int64_t i = 0; i < N * sparse24::value_columns(K); ++i)
      result.values.push_back(sparse24::load_value(values.data(), type, i));
    return result;
  };
  const Result expected = run([](const Sparse24CompressArgs& args) { sparse24_compress_ref(args); });
  for (const Sparse24CompressKernel& kernel : sparse24_compress_kernels()) {
    const Result result =
        run([&](const Sparse24CompressArgs& args) { EXPECT_EQ(kernel.run(args, Parallel{}), Status::ok) << kernel.name; });
    EXPECT_EQ(result, expected) << kernel.name;
  }
  return expected;
}

TEST(Sparse24CompressLiterals, ValuesInOrderAndTheirBits) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(compress({0, 5, 0, -6, 7, 8, 0, 0}, 8, type), (Result{{5, -6, 7, 8}, {0x3a}, -1}));
  }
}

TEST(Sparse24CompressLiterals, FewerThanTwoAreFilledUpFromTheFirst) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(compress({0, 0, 0, 5, 0, 0, 0, 0}, 8, type), (Result{{0, 5, 0, 0}, {0x39}, -1}));
    EXPECT_EQ(compress({4, 0, 0, 0, 0, 3, 0, 0}, 8, type), (Result{{4, 0, 0, 3}, {0x33}, -1}));
  }
}

TEST(Sparse24CompressLiterals, LastQuadOfFewerThanFour) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(compress({0}, 1, type), (Result{{0, 0}, {0x01}, -1}));
    EXPECT_EQ(compress({0, 3}, 2, type), (Result{{0, 3}, {0x03}, -1}));
    EXPECT_EQ(compress({0, 0, 3}, 3, type), (Result{{0, 3}, {0x05}, -1}));
    EXPECT_EQ(compress({0, 1, 0, 2, 3}, 5, type), (Result{{1, 2, 3, 0}, {0x1a}, -1}));
    EXPECT_EQ(compress({0, 1, 0, 2, 3, 0, 4}, 7, type), (Result{{1, 2, 3, 4}, {0x5a}, -1}));
    EXPECT_EQ(compress({0, 1, 0, 2, 3, 0, 4, 0, 9}, 9, type), (Result{{1, 2, 3, 4, 9, 0}, {0x5a, 0x01}, -1}));
    EXPECT_EQ(compress({1, 2, 3}, 3, type).violation, 0);
    EXPECT_EQ(compress({0, 1, 0, 2, 3, 5, 4}, 7, type).violation, 1);
  }
}

TEST(Sparse24CompressLiterals, BothZerosAreZeros) {
  for (const ValueType type : {ValueType::f32, ValueType::f16, ValueType::bf16, ValueType::e4m3fn}) {
    SCOPED_TRACE(name_of(type));
    const Result result = compress({1, -0.0, 2, -0.0}, 4, type);
    EXPECT_EQ(result, (Result{{1, 2}, {0x05}, -1}));
    // What is kept is kept with its sign.
    EXPECT_TRUE(std::signbit(compress({-0.0, 0.0, 0.0, 2}, 4, type).values[0]));
    EXPECT_FALSE(std::signbit(compress({-0.0, 1, 0.0, 2}, 4, type, {0, 1, 0, 0}).values[0]));  // an added one is +0
  }
}

TEST(Sparse24CompressLiterals, NaNIsNoZero) {
  for (const ValueType type : {ValueType::f32, ValueType::f16, ValueType::bf16, ValueType::e4m3fn}) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(compress({1, 2, 0, std::nan("")}, 4, type).violation, 0);
    const Result result = compress({1, 0, 0, std::nan("")}, 4, type);
    EXPECT_EQ(result.violation, -1);
    EXPECT_TRUE(std::isnan(result.values[1]));
  }
}

TEST(Sparse24CompressLiterals, AMaskChooses) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    EXPECT_EQ(compress({1, 2, 3, 4, 5, 6, 7, 8}, 8, type, {1, 0, 1, 0, 0, 0, 255, 2}), (Result{{1, 3, 7, 8}, {0xc5}, -1}));
    // Of fewer than two, added zeros make two, whatever the weight has there.
    EXPECT_EQ(compress({1, 2, 3, 4, 5, 6, 7, 8}, 8, type, {0, 0, 0, 1, 0, 0, 0, 0}), (Result{{0, 4, 0, 0}, {0x39}, -1}));
    EXPECT_EQ(compress({1, 2, 3, 4, 5}, 5, type, {1, 1, 0, 0, 0}), (Result{{1, 2, 0, 0}, {0x13}, -1}));
    EXPECT_EQ(compress({1, 2, 3, 4, 5, 6, 7}, 7, type, {1, 1, 0, 0, 0, 0, 1}), (Result{{1, 2, 0, 7}, {0x53}, -1}));
    EXPECT_EQ(compress({1, 2, 3, 4, 5, 6, 7, 8}, 8, type, {1, 1, 0, 0, 1, 1, 0, 1}).violation, 1);
    EXPECT_EQ(compress({0, 0, 0, 0}, 4, type, {1, 1, 1, 1}).violation, 0);
    EXPECT_EQ(compress({0, 0, 0, 0, 1, 2, 3}, 7, type, {1, 1, 0, 0, 1, 1, 1}).violation, 1);
  }
}

TEST(Sparse24CompressLiterals, TheFirstViolationOfTheFirstRow) {
  std::vector<double> rows(5 * 12, 0.0);
  for (const int64_t i : {24 + 8, 24 + 9, 24 + 11, 36, 37, 38, 48 + 4, 48 + 5, 48 + 6}) rows[static_cast<size_t>(i)] = 1;
  EXPECT_EQ(compress(rows, 12, ValueType::bf16).violation, 2 * 3 + 2);
}

class Sparse24Compress : public testing::Test {
 protected:
  // A weight with at most two nonzeros a quad.
  void prune(const Sparse24Case& c, const GuardedRows& weight) {
    std::vector<uint8_t> kept(static_cast<size_t>(c.N * c.K));
    sparse24_prune_ref({weight.data(), c.type, weight.stride(), c.N, c.K, kept.data()});
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t k = 0; k < c.K; ++k) {
        if (kept[n * c.K + k] == 0) store_value(random_.one_of({0.0, -0.0}), weight.data(), c.type, weight.at(n, k));
      }
    }
  }

  void random_mask(const Sparse24Case& c, const GuardedRows& mask) {
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t quad = 0; quad < sparse24::quads(c.K); ++quad) {
        const int bits = random_.one_of({0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12});
        for (int64_t k = 4 * quad; k < std::min(4 * quad + 4, c.K); ++k) {
          mask.data()[mask.at(n, k)] = (bits >> k % 4 & 1) != 0 ? random_.one_of<uint8_t>({1, 1, 255, 128}) : 0;
        }
      }
    }
  }

  void expect_equal_in(const Sparse24Case& c, GuardedRows& weight, GuardedRows* mask) {
    GuardedBuffer values(c.N * sparse24::value_columns(c.K) * size_of(c.type), c.placement);
    GuardedBuffer bitmask(c.N * sparse24::bitmask_columns(c.K), c.placement);
    int64_t violation = -2;
    const Sparse24CompressArgs args{weight.data(),
                                    c.type,
                                    weight.stride(),
                                    mask == nullptr ? nullptr : mask->data(),
                                    mask == nullptr ? 0 : mask->stride(),
                                    c.N,
                                    c.K,
                                    values.data(),
                                    bitmask.data(),
                                    &violation};
    weight.set_writable(false);
    if (mask != nullptr) mask->set_writable(false);
    sparse24_compress_ref(args);
    const std::vector<uint8_t> expected_values = bytes_of(values), expected_bitmask = bytes_of(bitmask);
    const int64_t expected_violation = violation;
    for (const Sparse24CompressKernel& kernel : kernels_) {
      if (!takes(kernel, args)) continue;
      const std::string description = std::string(kernel.name) + (mask == nullptr ? " " : " with a mask ") + text_of(c);
      SCOPED_TRACE(description);
      describe_current_case(description.c_str());
      for (GuardedBuffer* out : {&values, &bitmask}) out->fill_with_pattern();
      violation = -2;
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      for (GuardedBuffer* out : {&values, &bitmask}) ASSERT_TRUE(out->slack_is_untouched()) << "wrote outside a result";
      ASSERT_EQ(violation, expected_violation);
      if (violation >= 0) continue;
      ASSERT_TRUE(same_bytes(bytes_of(values), expected_values)) << "values";
      ASSERT_TRUE(same_bytes(bytes_of(bitmask), expected_bitmask)) << "bitmask";
    }
    weight.set_writable(true);
    if (mask != nullptr) mask->set_writable(true);
  }

  const std::vector<Sparse24CompressKernel> kernels_ = sparse24_compress_kernels();
  Random random_{0};
};

TEST_F(Sparse24Compress, EveryLength) {
  for (const int64_t K : interesting_columns) {
    for (const ValueType type : all_value_types) {
      if (!is_selected(random_)) continue;
      Sparse24Case c = random_types(3, K, random_);
      c.type = type;
      GuardedRows weight(c, K, size_of(type)), mask(c, K, 1);
      set_with_ties(c, weight, random_);
      random_mask(c, mask);
      expect_equal_in(c, weight, &mask);
      if (HasFatalFailure()) return;
      prune(c, weight);
      expect_equal_in(c, weight, nullptr);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Sparse24Compress, AnyBits) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    const Sparse24Case c = random_types(random_.integer(0, 40), random_.integer(0, 300), random_);
    GuardedRows weight(c, c.K, size_of(c.type)), mask(c, c.K, 1);
    weight.fill_with_random_bits(random_);
    random_mask(c, mask);
    expect_equal_in(c, weight, &mask);
    if (HasFatalFailure()) return;
    prune(c, weight);
    expect_equal_in(c, weight, nullptr);
    if (HasFatalFailure()) return;
  }
}

// Some quads of a large weight or mask have three or four: the first of them is reported, whatever the number of threads.
TEST_F(Sparse24Compress, Violations) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    Sparse24Case c = random_types(random_.integer(1, 100), random_.integer(3, 200), random_);
    GuardedRows weight(c, c.K, size_of(c.type)), mask(c, c.K, 1);
    set_with_ties(c, weight, random_);
    random_mask(c, mask);
    prune(c, weight);
    for (int64_t bad = random_.integer(1, 5); bad > 0; --bad) {
      const int64_t n = random_.integer(0, c.N - 1), quad = random_.integer(0, (c.K + 1) / 4 - 1);
      const int64_t spared = random_.integer(0, 4);  // 4: none
      for (int64_t k = 4 * quad; k < std::min(4 * quad + 4, c.K); ++k) {
        if (k % 4 == spared && c.K - 4 * quad >= 4) continue;
        store_value(1, weight.data(), c.type, weight.at(n, k));
        mask.data()[mask.at(n, k)] = 1;
      }
    }
    for (const int64_t threads : {1, 2, 7}) {
      c.threads = threads;
      expect_equal_in(c, weight, nullptr);
      expect_equal_in(c, weight, &mask);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
