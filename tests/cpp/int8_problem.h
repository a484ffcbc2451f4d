// The operands of an int8 product: mm_problem.h.
#pragma once

#include <vector>

#include "csrc/spec/int8_mm.h"
#include "tests/cpp/mm_problem.h"

namespace torchao_ops::test {

class Int8Problem : public MmProblem {
 public:
  explicit Int8Problem(MmCase c) : MmProblem(without_zero_point(c), {-128, 127, 1}) {}

  Int8MmArgs args() const;  // y is this problem's own, too
  int8::Weight weight() const { return args().weight; }
  // Of args, all but bias and y.
  static std::vector<OperandRows> operand_rows(Int8MmArgs& args);

  void set_code(int64_t n, int64_t k, int64_t code) override { code_row(n)[k] = static_cast<uint8_t>(code); }

  using Kernel = Status (*)(const Int8MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    return MmProblem::run(name, kernel, args(), parallel);
  }

 private:
  static MmCase without_zero_point(MmCase c) {
    c.zero_point_type.reset();
    return c;
  }
};

}  // namespace torchao_ops::test
