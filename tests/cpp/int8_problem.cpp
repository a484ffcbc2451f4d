#include "tests/cpp/int8_problem.h"

namespace torchao_ops::test {

Int8MmArgs Int8Problem::args() const {
  const MmCase& c = case_;
  Int8MmArgs args{};
  args.mm = mm_args();
  args.weight.codes = reinterpret_cast<const int8_t*>(codes_.data());
  args.weight.row_stride = code_row_stride();
  args.weight.scale = scale_.data();
  args.weight.scale_type = c.scale_type;
  args.weight.scale_row_stride = c.G() + c.row_padding;
  args.weight.N = c.N;
  args.weight.K = c.K;
  args.weight.group_size = c.group_size;
  return args;
}

std::vector<OperandRows> Int8Problem::operand_rows(Int8MmArgs& args) {
  int8::Weight& w = args.weight;
  return {{&args.mm.x, &args.mm.x_row_stride, args.mm.M, w.K, size_of(args.mm.x_type)},
          {reinterpret_cast<const void**>(&w.codes), &w.row_stride, w.N, w.K, 1},
          {&w.scale, &w.scale_row_stride, w.N, group_count(w.K, w.group_size), size_of(w.scale_type)}};
}

}  // namespace torchao_ops::test
