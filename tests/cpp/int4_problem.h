// The operands of an int4 product in guarded memory, with the values that a test wants.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "csrc/spec/int4_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"
#include "tests/cpp/guarded_buffer.h"
#include "tests/cpp/random.h"

namespace torchao_ops::test {

const char* name_of(FloatType type);
double unit_roundoff(FloatType type);  // largest relative error of round_to in the normal range: 2^-24, 2^-11, 2^-8

struct Int4Case {
  int64_t M = 1, N = 1, K = 1, group_size = 32;
  FloatType x_type = FloatType::f32, scale_type = FloatType::f32;
  std::optional<FloatType> zero_point_type = std::nullopt, bias_type = std::nullopt;
  int64_t row_padding = 0;  // what lies between rows of x, weight_packed, scale and zero point (elements): must not matter
  Placement placement = Placement::ends_at_guard;
  int64_t threads = 1;

  int64_t G() const { return group_count(K, group_size); }
};
std::string text_of(const Int4Case& c);
inline std::ostream& operator<<(std::ostream& out, const Int4Case& c) { return out << text_of(c); }

// Sizes, group sizes, types, padding, placement and threads at random from what the kernels must take, with M * N * K <= max_products.
Int4Case random_case(Random& random, int64_t max_products);
// Only types, padding, placement and threads at random.
Int4Case with_random_types(Int4Case c, Random& random);

class Int4Problem {
 public:
  explicit Int4Problem(const Int4Case& c);

  const Int4Case& shape() const { return case_; }
  Int4MmArgs args() const;  // y is this problem's own, too

  void set_x(int64_t m, int64_t k, double value);
  void set_code(int64_t n, int64_t k, int64_t code);
  void set_scale(int64_t n, int64_t g, double value);
  void set_zero_point(int64_t n, int64_t g, double value);  // nothing, if the case has none
  void set_bias(int64_t n, double value);                   // nothing, if the case has none
  float x(int64_t m, int64_t k) const;
  float bias(int64_t n) const;  // 0 if the case has none

  // Values that make every product and sum exact in fp32, in any order and with any factoring, also for int4_dynamic_mm: small integers in x
  // (each row's largest magnitude is 127 for `dynamic`, so that its scale is 1), scales that are powers of two, zero points that
  // are multiples of a half. K <= 1000.
  void fill_exact(Random& random, bool dynamic);
  // What a model has: x normal, all 16 codes, positive scales and zero points near the middle (HQQ's fractional ones, sometimes).
  void fill_ordinary(Random& random);

  // Runs a kernel on the operands (made read-only) and returns y's bytes. Fails the test if the kernel does not return ok or writes
  // outside y; a crash is reported with the kernel's name.
  using Kernel = Status (*)(const Int4MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel);

  // Makes the operands read-only, so that a kernel that writes to one is caught, or writable again.
  void set_writable(bool writable);

 private:
  Int4Case case_;
  GuardedBuffer x_, packed_, scale_, zero_point_, bias_, y_;
};

// Says which byte is the first that differs.
testing::AssertionResult same_bytes(const std::vector<uint8_t>& got, const std::vector<uint8_t>& expected);

// Element i of the bytes that run() returned.
float y_at(const std::vector<uint8_t>& y, FloatType type, int64_t i);

}  // namespace torchao_ops::test
