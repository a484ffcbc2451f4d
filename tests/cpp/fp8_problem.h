// The operands of an fp8 product: mm_problem.h.
#pragma once

#include <vector>

#include "csrc/spec/fp8_mm.h"
#include "tests/cpp/mm_problem.h"

namespace torchao_ops::test {

// How many codes of a type are numbers of at most `largest` without a sign: 0, 1 and so on.
int64_t code_count(Float8Type type, float largest);

class Fp8Problem : public MmProblem {
 public:
  explicit Fp8Problem(MmCase c);

  Fp8MmArgs args() const;  // y is this problem's own, too
  fp8::Weight weight() const { return args().weight; }
  // Of args, all but bias and y.
  static std::vector<OperandRows> operand_rows(Fp8MmArgs& args);

  // Codes of numbers up to 448, in both types: first those without a sign, from 0 on, then those with it.
  void set_code(int64_t n, int64_t k, int64_t code) override;
  void set_byte(int64_t n, int64_t k, uint8_t byte) { code_row(n)[k] = byte; }
  // Of the rows that share the scale with row n.
  void set_scale(int64_t n, int64_t g, double value) override;

  float activation_scale(float max_magnitude) const override { return max_magnitude / largest_of(case_.float8_type); }
  double quantized(float x, float scale) const override;
  bool sums_integers() const override { return false; }

  using MmProblem::run;  // of a product of two fp8 operands, whose b this is
  using Kernel = Status (*)(const Fp8MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    return MmProblem::run(name, kernel, args(), parallel);
  }

 private:
  // Whole numbers of at most 8 are in both types.
  int64_t exact_activation(Random& random, bool) const override { return random.integer(-8, 8); }
  double largest_exact_activation() const override { return double{largest_of(case_.float8_type)}; }
  int64_t exact_code(Random& random) const override;

  bool by_columns() const { return case_.row_padding == 5; }  // whether scales of a column, not of a row, are adjacent
  int64_t blocks() const { return ceil_div(case_.N, case_.row_block); }

  const int64_t magnitudes_;
};

}  // namespace torchao_ops::test
