// The operands of a product in guarded memory, with the values that a test wants, whatever the weight's format.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "csrc/spec/formats.h"
#include "csrc/spec/fp8.h"
#include "csrc/spec/mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24.h"
#include "csrc/spec/status.h"
#include "tests/cpp/guarded_buffer.h"
#include "tests/cpp/random.h"

namespace torchao_ops::test {

const char* name_of(FloatType type);
const char* name_of(sparse24::ValueType type);
const char* name_of(Float8Type type);
double unit_roundoff(FloatType type);  // largest relative error of round_to in the normal range: 2^-24, 2^-11, 2^-8

struct MmCase {
  int64_t M = 1, N = 1, K = 1, group_size = 32;
  FloatType x_type = FloatType::f32, scale_type = FloatType::f32;
  std::optional<FloatType> zero_point_type = std::nullopt, bias_type = std::nullopt;
  int64_t row_padding = 0;  // what lies between rows of x, codes, scale and zero point (elements): must not matter
  Placement placement = Placement::ends_at_guard;
  int64_t threads = 1;
  bool nested = false;  // nf4: whether absmax is itself quantized
  sparse24::ValueType value_type = sparse24::ValueType::f32;
  Float8Type float8_type = Float8Type::e4m3fn;
  int64_t row_block = 1;  // fp8: rows that share their scales

  int64_t G() const { return group_count(K, group_size); }
};
std::string text_of(const MmCase& c);
inline std::ostream& operator<<(std::ostream& out, const MmCase& c) { return out << text_of(c); }

// Sizes, group sizes, types, padding, placement and threads at random from what the kernels must take, with M * N * K <= max_products.
MmCase random_case(Random& random, int64_t max_products);
// Only types, padding, placement and threads at random.
MmCase with_random_types(MmCase c, Random& random);

// Rows of an operand: where its args struct keeps the pointer and the stride in elements.
struct OperandRows {
  const void** data;
  int64_t* row_stride;
  int64_t rows, columns, element_bytes;
};

class MmProblem {
 public:
  virtual ~MmProblem() = default;
  MmProblem(const MmProblem&) = delete;
  MmProblem& operator=(const MmProblem&) = delete;

  const MmCase& shape() const { return case_; }

  void set_x(int64_t m, int64_t k, double value);
  virtual void set_code(int64_t n, int64_t k, int64_t code) = 0;  // nothing, if the element is not stored
  virtual bool is_stored(int64_t, int64_t) const { return true; }
  virtual void set_scale(int64_t n, int64_t g, double value);
  void set_zero_point(int64_t n, int64_t g, double value);  // nothing, if the case has none
  void set_bias(int64_t n, double value);                   // nothing, if the case has none
  float x(int64_t m, int64_t k) const;
  float bias(int64_t n) const;  // 0 if the case has none

  // The scale of a row of x in a dynamic product, 0 if the row is not quantized, and what that makes of x.
  virtual float activation_scale(float max_magnitude) const { return max_magnitude / 127.0f; }
  virtual double quantized(float x, float scale) const;
  // Whether a dynamic product sums integers.
  virtual bool sums_integers() const { return true; }

  // Values that make every product and sum exact in fp32, in any order and with any factoring, also for dynamic products: small integers in x
  // (each row's largest magnitude is 127 for `dynamic`, so that its scale is 1), scales that are powers of two, zero points that
  // are multiples of a half. K <= 1000.
  void fill_exact(Random& random, bool dynamic);
  // What a model has: x normal, all codes, positive scales and zero points near the middle (HQQ's fractional ones, sometimes).
  void fill_ordinary(Random& random);

  // Weight and bias of a case that differs in M only.
  void copy_weight(const MmProblem& other);

  // Makes the operands read-only, so that a kernel that writes to one is caught, or writable again.
  virtual void set_writable(bool writable);

 protected:
  struct Codes {
    int64_t lowest, highest, per_byte;
    bool flat = false;  // whether codes and groups run on from row to row, without padding
  };
  MmProblem(const MmCase& c, const Codes& codes);

  MmArgs mm_args() const;
  // Runs a kernel on the operands (made read-only) and returns y's bytes. Fails the test if the kernel does not return ok or writes
  // outside y; a crash is reported with the kernel's name.
  template <class Args>
  std::vector<uint8_t> run(const char* name, Status (*kernel)(const Args&, const Parallel&), const Args& args,
                           const Parallel& parallel) {
    const std::string description = std::string(name) + " " + text_of(case_);
    before_run(description);
    EXPECT_EQ(kernel(args, parallel), Status::ok) << description;
    return after_run(description);
  }

  // A number for fill_exact; the largest one of a row.
  virtual int64_t exact_activation(Random& random, bool dynamic) const;
  virtual double largest_exact_activation() const { return 127; }
  // A code whose number is an integer.
  virtual int64_t exact_code(Random& random) const { return random.integer(code_kind_.lowest, code_kind_.highest); }

  uint8_t* code_row(int64_t n) const { return codes_.data() + n * code_row_stride(); }
  int64_t code_row_stride() const { return ceil_div(case_.K, code_kind_.per_byte) + case_.row_padding; }  // bytes

  MmCase case_;
  Codes code_kind_;
  GuardedBuffer x_, codes_, scale_, zero_point_, bias_, y_;

 private:
  void before_run(const std::string& description);
  std::vector<uint8_t> after_run(const std::string& description);
};

// Says which byte is the first that differs.
testing::AssertionResult same_bytes(const std::vector<uint8_t>& got, const std::vector<uint8_t>& expected);

// Element i of the bytes that run() returned.
float y_at(const std::vector<uint8_t>& y, FloatType type, int64_t i);

}  // namespace torchao_ops::test
