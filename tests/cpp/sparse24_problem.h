// The operands of a product with a 2:4 sparse weight: mm_problem.h.
#pragma once

#include <vector>

#include "csrc/spec/sparse24_mm.h"
#include "tests/cpp/mm_problem.h"

namespace torchao_ops::test {

// Which elements are stored depends on N, K and the value type alone: two of each quad, or, in some problems, any number up to two. What must not be looked
// at is NaN (or -1): slots that no bit takes and bits beyond K.
class Sparse24Problem : public MmProblem {
 public:
  explicit Sparse24Problem(const MmCase& c);

  Sparse24MmArgs args() const;  // y is this problem's own, too, and so is the violation
  sparse24::Weight weight() const { return args().weight; }
  int64_t violation() const { return violation_; }
  // Of args, all but scale, bias and y.
  static std::vector<OperandRows> operand_rows(Sparse24MmArgs& args);

  void set_code(int64_t n, int64_t k, int64_t code) override { set_value(n, k, static_cast<float>(code)); }
  bool is_stored(int64_t n, int64_t k) const override { return (bits(n, k / 4) >> k % 4 & 1) != 0; }
  void set_scale(int64_t n, int64_t g, double value) override;
  void set_value(int64_t n, int64_t k, float value);  // nothing, if the element is not stored
  // For tests of what a quad may be: its four bits, or as many as there are.
  void set_bits(int64_t n, int64_t quad, int bits);
  // The byte or bytes of slot i of a row.
  uint8_t* slot(int64_t n, int64_t i);

  float activation_scale(float max_magnitude) const override;
  double quantized(float x, float scale) const override;
  bool sums_integers() const override { return case_.value_type == sparse24::ValueType::int8; }

  void set_writable(bool writable) override;

  using Kernel = Status (*)(const Sparse24MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    violation_ = -2;
    return MmProblem::run(name, kernel, args(), parallel);
  }

 private:
  int64_t exact_activation(Random& random, bool dynamic) const override;
  double largest_exact_activation() const override;
  int bits(int64_t n, int64_t quad) const { return args().weight.bits(n, quad); }

  GuardedBuffer bitmask_;
  mutable int64_t violation_ = -2;
};

// The same with values of the types that a dynamic product takes.
class Sparse24DynamicProblem : public Sparse24Problem {
 public:
  explicit Sparse24DynamicProblem(MmCase c) : Sparse24Problem(with_dynamic_type(c)) {}

 private:
  static MmCase with_dynamic_type(MmCase c) {
    using sparse24::ValueType;
    c.value_type = c.value_type == ValueType::f16 || c.value_type == ValueType::e4m3fn ? ValueType::e4m3fn : ValueType::int8;
    return c;
  }
};

}  // namespace torchao_ops::test
