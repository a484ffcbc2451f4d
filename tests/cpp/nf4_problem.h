// The operands of an nf4 product and of its transpose: mm_problem.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "csrc/spec/nf4_mm.h"
#include "tests/cpp/mm_problem.h"

namespace torchao_ops::test {

// A case's group size becomes the next block size that there is.
int64_t nf4_block_size(int64_t group_size);

class Nf4Problem : public MmProblem {
 public:
  explicit Nf4Problem(const MmCase& c) : Nf4Problem(c, nf4_block_size(c.group_size), nf4_block_size(c.group_size)) {}

  Nf4MmArgs args() const;  // y is this problem's own, too
  nf4::Weight weight() const { return args().weight; }
  // Of args, all but bias and y. The weight's rows are adjacent.
  static std::vector<OperandRows> operand_rows(Nf4MmArgs& args);

  void set_code(int64_t n, int64_t k, int64_t code) override { set_element_code(n * case_.K + k, code); }
  // Of the blocks that hold the group's first and last elements, which other groups may share.
  void set_scale(int64_t n, int64_t g, double value) override {
    const int64_t begin = n * case_.K + g * block_size_;
    set_absmax(begin / block_size_, value);
    set_absmax(std::min(begin + block_size_ - 1, (n + 1) * case_.K - 1) / block_size_, value);
  }
  void copy_weight(const Nf4Problem& other);
  void set_writable(bool writable) override;

  using Kernel = Status (*)(const Nf4MmArgs&, const Parallel&);
  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    return MmProblem::run(name, kernel, args(), parallel);
  }

 protected:
  Nf4Problem(const MmCase& c, int64_t group_size, int64_t block_size);

  // Codes whose numbers are -1, 0 and 1.
  int64_t exact_code(Random& random) const override { return random.one_of<int64_t>({0, 7, 15}); }

  void set_element_code(int64_t i, int64_t code);
  // Doubly quantized, a number that is not there yet takes one of the 256 codes, in turn: which may change blocks that had it.
  void set_absmax(int64_t block, double value);
  nf4::Weight weight_of(int64_t N, int64_t K) const;

  const int64_t block_size_, blocks_;

 private:
  float nested_absmax(int64_t nested_block) const { return std::ldexp(1.0f, static_cast<int>(nested_block % 3) - 1); }

  const int64_t nested_block_size_;
  GuardedBuffer absmax_code_, nested_absmax_, absmax_offset_;
  int64_t used_codes_ = 0;
};

// y[m, n] = sum_k x[m, k] * w[k, n]: the case's N and K are the weight's K and N, and each k is a group of its own.
class Nf4TransposedProblem : public Nf4Problem {
 public:
  explicit Nf4TransposedProblem(const MmCase& c) : Nf4Problem(without_bias(c), 1, nf4_block_size(c.group_size)) {}

  struct Weight {
    nf4::Weight w;
    int64_t group_size;
    uint8_t code(int64_t n, int64_t k) const { return w.code(k, n); }
    float number(int64_t n, int64_t k) const { return w.number(k, n); }
    int64_t group_position(int64_t n, int64_t k) const { return w.group_position(k, n); }
    float scale_at(int64_t, int64_t group) const { return w.absmax_at(group); }
    static float zero_point_at(int64_t, int64_t) { return 0.0f; }
  };

  Nf4MmArgs args() const;
  Weight weight() const { return {args().weight, block_size_}; }
  static std::vector<OperandRows> operand_rows(Nf4MmArgs& args) {
    return {{&args.mm.x, &args.mm.x_row_stride, args.mm.M, args.weight.N, size_of(args.mm.x_type)}};
  }

  void set_code(int64_t n, int64_t k, int64_t code) override { set_element_code(k * case_.N + n, code); }
  void set_scale(int64_t n, int64_t k, double value) override { set_absmax((k * case_.N + n) / block_size_, value); }

  std::vector<uint8_t> run(const char* name, Kernel kernel, const Parallel& parallel) {
    return MmProblem::run(name, kernel, args(), parallel);
  }

 private:
  static MmCase without_bias(MmCase c) {
    c.bias_type.reset();
    return c;
  }
};

}  // namespace torchao_ops::test
