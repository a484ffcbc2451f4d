// sparse24_decompress: literals, and every kernel against the reference, byte for byte.
#include <gtest/gtest.h>

#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/sparse24_cases.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

using sparse24::ValueType;

TEST(Sparse24DecompressLiterals, ValuesInTheirPlaces) {
  for (const ValueType type : all_value_types) {
    SCOPED_TRACE(name_of(type));
    // A slot that no bit takes (90), and bits beyond K, are not looked at.
    const double numbers[] = {1, 2, 90, 90, 3, 90};
    const uint8_t bitmask[] = {0x0a, 0xf2};
    const double expected[] = {0, 1, 0, 2, 0, 0, 0, 0, 0, 3};
    uint8_t values[6 * 4], out[10 * 4];
    for (int i = 0; i < 6; ++i) store_value(numbers[i], values, type, i);
    std::vector<Sparse24DecompressKernel> kernels = sparse24_decompress_kernels();
    kernels.push_back({"reference", Needs::dispatch, nullptr, [](const Sparse24DecompressArgs& args, const Parallel&) {
                         sparse24_decompress_ref(args);
                         return Status::ok;
                       }});
    for (const Sparse24DecompressKernel& kernel : kernels) {
      SCOPED_TRACE(kernel.name);
      int64_t violation = -2;
      const sparse24::Weight weight{values, type, 6, bitmask, 2, nullptr, FloatType::f32, 1, 10};
      ASSERT_EQ(kernel.run({weight, out, &violation}, Parallel{}), Status::ok);
      EXPECT_EQ(violation, -1);
      for (int i = 0; i < 10; ++i) EXPECT_EQ(sparse24::load_value(out, type, i), expected[i]) << i;
    }
  }
}

class Sparse24Decompress : public testing::Test {
 protected:
  void random_bitmask(const Sparse24Case& c, const GuardedRows& bitmask) {
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t quad = 0; quad < 2 * sparse24::bitmask_columns(c.K); ++quad) {
        const int bits = quad < sparse24::quads(c.K) ? random_.one_of({0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12}) : 15;
        uint8_t& byte = bitmask.data()[bitmask.at(n, quad / 2)];
        byte = static_cast<uint8_t>(quad % 2 == 0 ? bits : byte | bits << 4);
      }
      // Bits beyond K are not looked at.
      if (c.K % 8 != 0) bitmask.data()[bitmask.at(n, c.K / 8)] |= static_cast<uint8_t>(random_.bits() << c.K % 8);
    }
  }

  void expect_equal_in(const Sparse24Case& c, GuardedRows& values, GuardedRows& bitmask) {
    GuardedBuffer out(c.N * c.K * size_of(c.type), c.placement);
    int64_t violation = -2;
    const sparse24::Weight weight{
        values.data(), c.type, values.stride(), bitmask.data(), bitmask.stride(), nullptr, FloatType::f32, c.N, c.K};
    const Sparse24DecompressArgs args{weight, out.data(), &violation};
    values.set_writable(false);
    bitmask.set_writable(false);
    sparse24_decompress_ref(args);
    const std::vector<uint8_t> expected = bytes_of(out);
    const int64_t expected_violation = violation;
    for (const Sparse24DecompressKernel& kernel : kernels_) {
      if (!takes(kernel, args)) continue;
      const std::string description = std::string(kernel.name) + " " + text_of(c);
      SCOPED_TRACE(description);
      describe_current_case(description.c_str());
      out.fill_with_pattern();
      violation = -2;
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      ASSERT_TRUE(out.slack_is_untouched()) << "wrote outside the weight";
      ASSERT_EQ(violation, expected_violation);
      if (violation >= 0) continue;
      ASSERT_TRUE(same_bytes(bytes_of(out), expected));
    }
    values.set_writable(true);
    bitmask.set_writable(true);
  }

  const std::vector<Sparse24DecompressKernel> kernels_ = sparse24_decompress_kernels();
  Random random_{0};
};

TEST_F(Sparse24Decompress, EveryLength) {
  for (const int64_t K : interesting_columns) {
    for (const ValueType type : all_value_types) {
      if (!is_selected(random_)) continue;
      Sparse24Case c = random_types(3, K, random_);
      c.type = type;
      GuardedRows values(c, sparse24::value_columns(K), size_of(type)), bitmask(c, sparse24::bitmask_columns(K), 1);
      values.fill_with_random_bits(random_);
      random_bitmask(c, bitmask);
      expect_equal_in(c, values, bitmask);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Sparse24Decompress, RandomShapes) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    const Sparse24Case c = random_types(random_.integer(0, 40), random_.integer(0, 300), random_);
    GuardedRows values(c, sparse24::value_columns(c.K), size_of(c.type)), bitmask(c, sparse24::bitmask_columns(c.K), 1);
    values.fill_with_random_bits(random_);
    random_bitmask(c, bitmask);
    expect_equal_in(c, values, bitmask);
    if (HasFatalFailure()) return;
  }
}

// Every byte of bitmask, those that keep too many included.
TEST_F(Sparse24Decompress, EveryByte) {
  for (const ValueType type : all_value_types) {
    for (int byte = 0; byte < 256; ++byte) {
      for (const int64_t K : {8, 7, 6, 5, 4, 3, 2, 1}) {
        if (!is_selected(random_)) continue;
        Sparse24Case c = random_types(1, 40 + K, random_);
        c.type = type;
        GuardedRows values(c, sparse24::value_columns(c.K), size_of(type)), bitmask(c, sparse24::bitmask_columns(c.K), 1);
        values.fill_with_random_bits(random_);
        random_bitmask(c, bitmask);
        bitmask.data()[random_.one_of({0, 1, 3, 5})] = static_cast<uint8_t>(byte);
        expect_equal_in(c, values, bitmask);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(Sparse24Decompress, TheFirstViolationWhateverTheNumberOfThreads) {
  for (int64_t i = 0; i < case_count(100); ++i) {
    Sparse24Case c = random_types(random_.integer(1, 100), random_.integer(4, 200), random_);
    GuardedRows values(c, sparse24::value_columns(c.K), size_of(c.type)), bitmask(c, sparse24::bitmask_columns(c.K), 1);
    values.fill_with_random_bits(random_);
    random_bitmask(c, bitmask);
    for (int64_t bad = random_.integer(1, 5); bad > 0; --bad) {
      const int64_t at = bitmask.at(random_.integer(0, c.N - 1), random_.integer(0, c.K / 4 - 1) / 2);
      bitmask.data()[at] |= random_.one_of<uint8_t>({0x07, 0x0b, 0x0d, 0x0e, 0x0f, 0x70, 0xb0, 0xd0, 0xe0, 0xf0, 0xff});
    }
    for (const int64_t threads : {1, 2, 7}) {
      c.threads = threads;
      expect_equal_in(c, values, bitmask);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace torchao_ops::test
