// Every int8_quantize kernel against the reference: all bytes of both results (NaN scales are one NaN).
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
  int64_t N, K, group_size;
  FloatType type;
  int64_t row_padding;
  Placement placement;
  int64_t threads;

  int64_t G() const { return group_count(K, group_size); }
};

std::string text_of(const Case& c) {
  return "N=" + std::to_string(c.N) + " K=" + std::to_string(c.K) + " group_size=" + std::to_string(c.group_size) + " " +
         name_of(c.type) + " row_padding=" + std::to_string(c.row_padding) +
         (c.placement == Placement::ends_at_guard ? " ends" : " starts") +
         " at a guard page, threads=" + std::to_string(c.threads);
}

class Int8Quantize : public testing::Test {
 protected:
  Case case_of(int64_t N, int64_t K, int64_t group_size) {
    return {N,
            K,
            group_size,
            random_.one_of({FloatType::f32, FloatType::f16, FloatType::bf16}),
            random_.one_of<int64_t>({0, 0, 1, 5}),
            random_.one_of({Placement::ends_at_guard, Placement::starts_at_guard}),
            random_.one_of<int64_t>({1, 1, 2, 3, 7})};
  }

  // weight(n, k) gives the values.
  template <class Weight>
  void expect_equal_in(const Case& c, const Weight& weight) {
    const int64_t stride = c.K + c.row_padding;
    const int64_t elements = c.N == 0 ? 0 : (c.N - 1) * stride + c.K;
    GuardedBuffer w(elements * size_of(c.type), c.placement);
    std::memset(w.data(), 0xff, static_cast<size_t>(w.size()));
    for (int64_t n = 0; n < c.N; ++n)
      for (int64_t k = 0; k < c.K; ++k) store_float(static_cast<float>(weight(n, k)), w.data(), c.type, n * stride + k);
    w.set_writable(false);

    const int64_t group_bytes = c.N * c.G() * size_of(c.type);
    GuardedBuffer codes(c.N * c.K, c.placement), scale(group_bytes, c.placement);
    const Int8QuantizeArgs args{w.data(),    c.type, stride, c.N, c.K, c.group_size, reinterpret_cast<int8_t*>(codes.data()),
                                scale.data()};
    auto bytes = [](const GuardedBuffer& b) { return std::vector<uint8_t>(b.data(), b.data() + b.size()); };
    int8_quantize_ref(args);
    const std::vector<uint8_t> expected_codes = bytes(codes), expected_scale = bytes(scale);
    for (const Int8QuantizeKernel& kernel : kernels_) {
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

  const std::vector<Int8QuantizeKernel> kernels_ = int8_quantize_kernels();
  Random random_{0};
};

TEST_F(Int8Quantize, EveryLengthAndGroupSize) {
  for (const int64_t K : {0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 130, 255, 256, 257, 1000}) {
    for (const int64_t group_size : {1, 2, 3, 7, 16, 31, 32, 33, 48, 64, 96, 100, 128, 256, 2000}) {
      if (!is_selected(random_)) continue;
      expect_equal_in(case_of(3, K, group_size), [&](int64_t, int64_t) { return random_.normal(); });
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Int8Quantize, EveryNumberOfRowsAndThreads) {
  for (int64_t N = 0; N <= 70; ++N) {
    if (!is_selected(random_)) continue;
    expect_equal_in(case_of(N, 37, 16), [&](int64_t, int64_t) { return random_.normal(); });
    if (HasFatalFailure()) return;
  }
}

TEST_F(Int8Quantize, HugeGroupSize) {
  expect_equal_in(case_of(4, 100, INT64_MAX), [&](int64_t, int64_t) { return random_.normal(); });
}

// Weights on the grid of the codes and halfway between: each rounding that the contract names.
TEST_F(Int8Quantize, Ties) {
  for (int64_t i = 0; i < case_count(200); ++i) {
    const double step = std::ldexp(random_.one_of({1.0, 3.0, 5.0, 7.0}), static_cast<int>(random_.integer(-8, 4)));
    expect_equal_in(case_of(2, random_.integer(1, 200), random_.integer(1, 64)),
                    [&](int64_t, int64_t) { return step * 0.5 * static_cast<double>(random_.integer(-254, 254)); });
    if (HasFatalFailure()) return;
  }
}

// Groups of one sign, of zeros, of both zeros, subnormal, huge, overflowing, with NaN and infinities.
TEST_F(Int8Quantize, UnusualValues) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double magnitudes[] = {0, 1, 1e-45, 1e-44, 1e-40, 6e-8, 6e-7, 6e-5, 1e-4, 100, 6e4, 65504, 1e30, 2e38, 3.4e38};
  for (int64_t i = 0; i < case_count(400); ++i) {
    const double magnitude = magnitudes[random_.integer(0, static_cast<int64_t>(std::size(magnitudes)) - 1)];
    const double lowest = random_.one_of({-1.0, 0.0, 0.5});
    const double special = random_.one_of({std::nan(""), infinity, -infinity, 0.0, -0.0});
    const int64_t special_k = random_.integer(0, 300);
    expect_equal_in(case_of(2, random_.integer(1, 200), random_.integer(1, 64)),
                    [&](int64_t, int64_t k) { return k == special_k ? special : magnitude * random_.uniform(lowest, 1); });
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace torchao_ops::test
