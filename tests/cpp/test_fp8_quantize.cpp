// Every fp8_quantize kernel against the reference: all bytes of both results (NaN scales are one NaN).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/cpp/fp8_problem.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {
namespace {

struct Case {
  int64_t N, K, row_block, group_size;
  FloatType type;
  Float8Type code_type;
  int64_t row_padding;
  Placement placement;
  int64_t threads;
};

std::string text_of(const Case& c) {
  return "N=" + std::to_string(c.N) + " K=" + std::to_string(c.K) + " row_block=" + std::to_string(c.row_block) +
         " group_size=" + std::to_string(c.group_size) + " " + name_of(c.type) + " to " + name_of(c.code_type) +
         " row_padding=" + std::to_string(c.row_padding) + (c.placement == Placement::ends_at_guard ? " ends" : " starts") +
         " at a guard page, threads=" + std::to_string(c.threads);
}

class Fp8Quantize : public testing::Test {
 protected:
  Case case_of(int64_t N, int64_t K, int64_t row_block, int64_t group_size) {
    return {N,
            K,
            row_block,
            group_size,
            random_.one_of({FloatType::f32, FloatType::f16, FloatType::bf16}),
            random_.one_of({Float8Type::e4m3fn, Float8Type::e5m2}),
            random_.one_of<int64_t>({0, 0, 1, 5}),
            random_.one_of({Placement::ends_at_guard, Placement::starts_at_guard}),
            random_.one_of<int64_t>({1, 1, 2, 3, 7})};
  }

  // input(n, k) gives the values.
  template <class Input>
  void expect_equal_in(const Case& c, const Input& input) {
    const int64_t stride = c.K + c.row_padding;
    GuardedBuffer x((c.N == 0 ? 0 : (c.N - 1) * stride + c.K) * size_of(c.type), c.placement);
    std::memset(x.data(), 0xff, static_cast<size_t>(x.size()));
    for (int64_t n = 0; n < c.N; ++n)
      for (int64_t k = 0; k < c.K; ++k) store_float(static_cast<float>(input(n, k)), x.data(), c.type, n * stride + k);
    x.set_writable(false);

    GuardedBuffer codes(c.N * c.K, c.placement);
    GuardedBuffer scale(ceil_div(c.N, c.row_block) * group_count(c.K, c.group_size) * size_of(c.type), c.placement);
    const Fp8QuantizeArgs args{x.data(),    c.type,       stride,       c.N,         c.K,
                               c.row_block, c.group_size, codes.data(), c.code_type, scale.data()};
    auto bytes = [](const GuardedBuffer& b) { return std::vector<uint8_t>(b.data(), b.data() + b.size()); };
    fp8_quantize_ref(args);
    const std::vector<uint8_t> expected_codes = bytes(codes), expected_scale = bytes(scale);
    for (const Fp8QuantizeKernel& kernel : kernels_) {
      if (!takes(kernel, args)) continue;
      const std::string description = std::string(kernel.name) + " " + text_of(c);
      SCOPED_TRACE(description);
      describe_current_case(description.c_str());
      for (GuardedBuffer* out : {&codes, &scale}) out->fill_with_pattern();
      ASSERT_EQ(kernel.run(args, std_threads(c.threads)), Status::ok);
      for (GuardedBuffer* out : {&codes, &scale}) ASSERT_TRUE(out->slack_is_untouched()) << "wrote outside a result";
      ASSERT_TRUE(same_bytes(bytes(scale), expected_scale)) << "scale";
      ASSERT_TRUE(same_bytes(bytes(codes), expected_codes)) << "codes";
    }
  }

  const std::vector<Fp8QuantizeKernel> kernels_ = fp8_quantize_kernels();
  Random random_{0};
};

TEST_F(Fp8Quantize, EveryLengthAndBlock) {
  for (const int64_t K : {0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, 100, 127, 128, 129, 257, 1000}) {
    for (const int64_t group_size : {int64_t{1}, int64_t{3}, int64_t{16}, int64_t{33}, int64_t{100}, fp8::block, fp8::all}) {
      for (const int64_t row_block : {int64_t{1}, int64_t{2}, int64_t{5}, fp8::all}) {
        if (!is_selected(random_)) continue;
        expect_equal_in(case_of(5, K, row_block, group_size), [&](int64_t, int64_t) { return random_.normal(); });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_F(Fp8Quantize, EveryNumberOfRowsAndThreads) {
  for (int64_t N = 0; N <= 70; ++N) {
    for (const int64_t row_block : {int64_t{1}, int64_t{16}, fp8::all}) {
      if (!is_selected(random_)) continue;
      expect_equal_in(case_of(N, 37, row_block, 16), [&](int64_t, int64_t) { return random_.normal(); });
      if (HasFatalFailure()) return;
    }
  }
  expect_equal_in(case_of(300, 300, fp8::block, fp8::block), [&](int64_t, int64_t) { return random_.normal(); });
}

// Numbers of the type, middles between them and their neighbours, in a row whose scale is 1 or 41: each rounding that the contract names.
TEST_F(Fp8Quantize, Boundaries) {
  for (const Float8Type type : {Float8Type::e4m3fn, Float8Type::e5m2}) {
    const int64_t numbers = code_count(type, largest_of(type));
    for (const float scale : {1.0f, 41.0f}) {
      Case c = case_of(1, 6 * numbers, 1, fp8::all);
      c.type = FloatType::f32;
      c.code_type = type;
      expect_equal_in(c, [&](int64_t, int64_t k) {
        const uint8_t codes[2] = {static_cast<uint8_t>(k / 6), static_cast<uint8_t>(std::min(k / 6 + 1, numbers - 1))};
        const float low = load_float8(codes, type, 0), middle = (low + load_float8(codes, type, 1)) / 2;
        const float values[] = {low, middle, std::nextafter(middle, 0.0f), -low, -middle, -std::nextafter(middle, 1e9f)};
        return scale * (k / 6 + 1 == numbers ? std::copysign(low, values[k % 6]) : values[k % 6]);
      });
      if (HasFatalFailure()) return;
    }
  }
}

// Blocks of one sign, of zeros, of both zeros, subnormal, huge, with scales that lose bits, with NaN and infinities.
TEST_F(Fp8Quantize, UnusualValues) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double magnitudes[] = {0,    1,    1e-45, 1e-44, 1e-40, 6e-8, 6e-7, 6e-5,  1e-5, 1.4e-5, 1e-4,  1e-3,
                               2e-3, 4e-3, 0.02,  0.1,   1,     100,  6e4,  65504, 1e30, 2e38,   3.4e38};
  for (int64_t i = 0; i < case_count(500); ++i) {
    const double magnitude = magnitudes[random_.integer(0, static_cast<int64_t>(std::size(magnitudes)) - 1)];
    const double lowest = random_.one_of({-1.0, 0.0, 0.5});
    const double special = random_.one_of({std::nan(""), infinity, -infinity, 0.0, -0.0});
    const int64_t special_k = random_.integer(0, 300), special_n = random_.integer(0, 3);
    const Case c = case_of(4, random_.integer(1, 200), random_.one_of<int64_t>({1, 2, 3, fp8::all}), random_.integer(1, 64));
    expect_equal_in(c, [&](int64_t n, int64_t k) {
      return k == special_k && n == special_n ? special : magnitude * random_.uniform(lowest, 1);
    });
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace torchao_ops::test
