// The operands of an int4 product: mm_problem.h.
#pragma once

#include <vector>

#include "csrc/spec/int4_mm.h"
#include "tests/cpp/mm_problem.h"

namespace torchao_ops::test {

using Int4Case = MmCase;

class Int4Problem : public MmProblem {
 public:
  explicit Int4Problem(const Int4Case& c) : MmProblem(c, {0, 15, 2}) {}

  Int4MmArgs args() const;  // y is this problem's own, too
  int4::Weight weight() const { return args().weight; }
  // Of args, all but bias and y.
  static std::vector<OperandRows> operand_rows(Int4MmArgs& args);

  void set_code(int64_t n, int64_t k, int64_t code) override;

  using Kernel = Status (*)(const Int4MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    return MmProblem::run(name, kernel, args(), parallel);
  }
};

}  // namespace torchao_ops::test
