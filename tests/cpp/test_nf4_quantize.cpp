// Every nf4_quantize and nf4_quantize_absmax kernel against the reference: all bytes of all results (NaN is one NaN).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/cpp/kernels.h"
#include "tests/cpp/mm_problem.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

struct Case {
  int64_t count, block_size;
  FloatType type;
  Placement placement;
  int64_t threads;

  int64_t blocks() const { return ceil_div(count, block_size); }
};

std::string text_of(const Case& c) {
  return std::to_string(c.count) + " elements, block_size=" + std::to_string(c.block_size) + " " + name_of(c.type) +
         (c.placement == Placement::ends_at_guard ? " ends" : " starts") +
         " at a guard page, threads=" + std::to_string(c.threads);
}

// The operators: their results, and how much each is.
struct Nf4Quantize {
  using Args = Nf4QuantizeArgs;
  static constexpr const char* name = "nf4_quantize";
  static std::vector<Nf4QuantizeKernel> kernels() { return nf4_quantize_kernels(); }
  static void reference(const Args& args) { nf4_quantize_ref(args); }
  static int64_t block_size(Random& random) { return random.one_of<int64_t>({32, 32, 64, 64, 128, 256, 4096, int64_t{1} << 62}); }
  static std::vector<int64_t> result_bytes(const Case& c) { return {nf4::packed_bytes(c.count), c.blocks() * 4}; }
  static Args args(const Case& c, const void* input, const std::vector<GuardedBuffer>& results) {
    return {input, c.type, c.count, c.block_size, results[0].data(), reinterpret_cast<float*>(results[1].data())};
  }
};

struct Nf4QuantizeAbsmax {
  using Args = Nf4QuantizeAbsmaxArgs;
  static constexpr const char* name = "nf4_quantize_absmax";
  static std::vector<Nf4QuantizeAbsmaxKernel> kernels() { return nf4_quantize_absmax_kernels(); }
  static void reference(const Args& args) { nf4_quantize_absmax_ref(args); }
  static int64_t block_size(Random& random) { return random.one_of<int64_t>({1, 3, 31, 256, 256, 256, 1000, INT64_MAX}); }
  static std::vector<int64_t> result_bytes(const Case& c) { return {c.count, 256 * 4, c.blocks() * 4, 4}; }
  static Args args(const Case& c, const void* input, const std::vector<GuardedBuffer>& results) {
    auto floats = [&](int i) { return reinterpret_cast<float*>(results[i].data()); };
    return {input, c.type, c.count, c.block_size, results[0].data(), floats(1), floats(2), floats(3)};
  }
};

template <class Operator>
class Nf4Quantizers : public testing::Test {
 protected:
  Case case_of(int64_t count) {
    return {count, Operator::block_size(random_), random_.one_of({FloatType::f32, FloatType::f16, FloatType::bf16}),
            random_.one_of({Placement::ends_at_guard, Placement::starts_at_guard}), random_.one_of<int64_t>({1, 1, 2, 3, 7})};
  }

  // value(i) gives the input.
  template <class Value>
  void expect_equal_in(const Case& c, const Value& value) {
    GuardedBuffer input(c.count * size_of(c.type), c.placement);
    for (int64_t i = 0; i < c.count; ++i) store_float(static_cast<float>(value(i)), input.data(), c.type, i);
    input.set_writable(false);
    std::vector<GuardedBuffer> results;
    for (const int64_t bytes : Operator::result_bytes(c)) results.emplace_back(bytes, c.placement);
    const auto args = Operator::args(c, input.data(), results);
    auto bytes = [](const GuardedBuffer& b) { return std::vector<uint8_t>(b.data(), b.data() + b.size()); };
    Operator::reference(args);
    std::vector<std::vector<uint8_t>> expected;
    for (const GuardedBuffer& result : results) expected.push_back(bytes(result));
    for (const auto& kernel : kernels_) {
      if (!takes(kernel, args)) continue;
      const std::string description = std::string(kernel.name) + " " + text_of(c);
      SCOPED_TRACE(description);
      describe_current_case(description.c_str());
      for (GuardedBuffer& result : results) result.fill_with_pattern();
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      for (size_t i = 0; i < results.size(); ++i) {
        ASSERT_TRUE(results[i].slack_is_untouched()) << "wrote outside result " << i;
        ASSERT_TRUE(same_bytes(bytes(results[i]), expected[i])) << "result " << i;
      }
    }
  }

  const std::vector<Kernel<typename Operator::Args>> kernels_ = Operator::kernels();
  Random random_{0};
};
TYPED_TEST_SUITE_P(Nf4Quantizers);

TYPED_TEST_P(Nf4Quantizers, EveryCount) {
  for (int64_t count = 0; count <= 300; ++count) {
    if (!is_selected(this->random_)) continue;
    this->expect_equal_in(this->case_of(count), [&](int64_t) { return this->random_.normal(); });
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST_P(Nf4Quantizers, LargeCounts) {
  for (int64_t i = 0; i < case_count(40); ++i) {
    this->expect_equal_in(this->case_of(this->random_.integer(300, 20000)),
                          [&](int64_t) { return std::exp(3 * this->random_.normal()); });
    if (this->HasFatalFailure()) return;
  }
}

// Numbers on a coarse grid: midpoints between codes, and many that are equal.
TYPED_TEST_P(Nf4Quantizers, Ties) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    const double step =
        std::ldexp(this->random_.template one_of<double>({1, 3, 5, 7}), static_cast<int>(this->random_.integer(-8, 4)));
    this->expect_equal_in(this->case_of(this->random_.integer(1, 600)),
                          [&](int64_t) { return step * static_cast<double>(this->random_.integer(-16, 16)); });
    if (this->HasFatalFailure()) return;
  }
}

// Blocks of one sign, of zeros, of both zeros, subnormal, huge, overflowing, with NaN and infinities.
TYPED_TEST_P(Nf4Quantizers, UnusualValues) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double magnitudes[] = {0, 1, 1e-45, 1e-44, 1e-40, 1e-38, 6e-8, 6e-7, 6e-5, 1e-4, 100, 6e4, 65504, 1e30, 2e38, 3.4e38};
  for (int64_t i = 0; i < case_count(400); ++i) {
    const double magnitude = magnitudes[this->random_.integer(0, static_cast<int64_t>(std::size(magnitudes)) - 1)];
    const double lowest = this->random_.template one_of<double>({-1, 0, 0.5, 1});
    const double special = this->random_.template one_of<double>({std::nan(""), infinity, -infinity, 0.0, -0.0});
    const int64_t special_i = this->random_.integer(0, 600);
    this->expect_equal_in(this->case_of(this->random_.integer(1, 600)),
                          [&](int64_t j) { return j == special_i ? special : magnitude * this->random_.uniform(lowest, 1); });
    if (this->HasFatalFailure()) return;
  }
}

REGISTER_TYPED_TEST_SUITE_P(Nf4Quantizers, EveryCount, LargeCounts, Ties, UnusualValues);

struct Names {
  template <class Operator>
  static std::string GetName(int) {
    return Operator::name;
  }
};
using Both = testing::Types<Nf4Quantize, Nf4QuantizeAbsmax>;
INSTANTIATE_TYPED_TEST_SUITE_P(Nf4, Nf4Quantizers, Both, Names);

// Weights whose quotients are the midpoints and their neighbours, which a reciprocal that is rounded otherwise would move: full blocks
// multiply, a partial one divides.
TEST(Nf4QuantizeTies, MidpointsTimesAbsmax) {
  Random random{0};
  for (const int64_t block_size : {32, 128}) {
    for (const FloatType type : {FloatType::f32, FloatType::bf16}) {
      for (int64_t i = 0; i < case_count(100); ++i) {
        const float absmax = static_cast<float>(random.uniform(0.01, 3));
        std::vector<uint8_t> weight(100 * 4);
        for (int64_t j = 0; j < 100; ++j) {
          const float midpoint = nf4::midpoint_above(static_cast<int>(random.integer(0, 14)));
          const uint32_t bits = float_bits(midpoint * absmax) + static_cast<uint32_t>(random.integer(-2, 2));
          store_float(j % 32 == 3 ? absmax : float_from_bits(bits), weight.data(), type, j);
        }
        uint8_t packed[50], expected_packed[50];
        float scales[4], expected_scales[4];
        const size_t scale_bytes = static_cast<size_t>(ceil_div(100, block_size)) * sizeof(float);
        nf4_quantize_ref({weight.data(), type, 100, block_size, expected_packed, expected_scales});
        const Nf4QuantizeArgs args{weight.data(), type, 100, block_size, packed, scales};
        for (const Nf4QuantizeKernel& kernel : nf4_quantize_kernels()) {
          if (!takes(kernel, args)) continue;
          SCOPED_TRACE(kernel.name);
          ASSERT_EQ(kernel.run(args, Parallel{}), Status::ok);
          ASSERT_EQ(std::memcmp(packed, expected_packed, sizeof(packed)), 0);
          ASSERT_EQ(std::memcmp(scales, expected_scales, scale_bytes), 0);
        }
      }
    }
  }
}

// Differences about halfway between two grid points that have different codes: which of them is the nearest decides.
TEST(Nf4QuantizeAbsmaxTies, GridPointsBesideMidpoints) {
  std::vector<float> absmax{1, -1};
  for (int code = 0; code < 255; ++code) {
    const double midpoint = 0.5 * (double{nf4::absmax_value(code)} + nf4::absmax_value(code + 1));
    const double between = (std::floor((midpoint + 1) / 2 * 65535) + 0.5) * 2 / 65535 - 1;
    float value = static_cast<float>(between);
    for (int step = 0; step < 3; ++step) value = std::nextafter(value, -2.0f);
    for (int step = -3; step <= 3; ++step, value = std::nextafter(value, 2.0f)) {
      absmax.insert(absmax.end(), {value, -value});  // the mean stays 0
    }
  }
  const int64_t count = static_cast<int64_t>(absmax.size());
  std::vector<uint8_t> codes(absmax.size()), expected(absmax.size());
  float absmax_code[256], nested_absmax[1], offset[1];
  nf4_quantize_absmax_ref({absmax.data(), FloatType::f32, count, count, expected.data(), absmax_code, nested_absmax, offset});
  ASSERT_EQ(nested_absmax[0], 1);
  const Nf4QuantizeAbsmaxArgs args{absmax.data(), FloatType::f32, count, count, codes.data(), absmax_code, nested_absmax, offset};
  for (const Nf4QuantizeAbsmaxKernel& kernel : nf4_quantize_absmax_kernels()) {
    if (!takes(kernel, args)) continue;
    SCOPED_TRACE(kernel.name);
    ASSERT_EQ(kernel.run(args, Parallel{}), Status::ok);
    EXPECT_EQ(codes, expected);
  }
}

}  // namespace
}  // namespace torchao_ops::test
