#include "tests/cpp/int4_problem.h"

namespace torchao_ops::test {

Int4MmArgs Int4Problem::args() const {
  const Int4Case& c = case_;
  Int4MmArgs args{};
  args.mm = mm_args();
  args.weight.packed = codes_.data();
  args.weight.packed_row_stride = code_row_stride();
  args.weight.scale = scale_.data();
  args.weight.scale_type = c.scale_type;
  args.weight.scale_row_stride = c.G() + c.row_padding;
  args.weight.zero_point = zero_point_.data();
  args.weight.zero_point_type = c.zero_point_type.value_or(FloatType::f32);
  args.weight.zero_point_row_stride = c.zero_point_type ? c.G() + c.row_padding : 0;
  args.weight.N = c.N;
  args.weight.K = c.K;
  args.weight.group_size = c.group_size;
  return args;
}

std::vector<OperandRows> Int4Problem::operand_rows(Int4MmArgs& args) {
  int4::Weight& w = args.weight;
  const int64_t G = group_count(w.K, w.group_size);
  const auto packed = reinterpret_cast<const void**>(&w.packed);
  std::vector<OperandRows> rows{{&args.mm.x, &args.mm.x_row_stride, args.mm.M, w.K, size_of(args.mm.x_type)},
                                {packed, &w.packed_row_stride, w.N, int4::packed_columns(w.K), 1},
                                {&w.scale, &w.scale_row_stride, w.N, G, size_of(w.scale_type)}};
  if (w.zero_point != nullptr) {
    rows.push_back({&w.zero_point, &w.zero_point_row_stride, w.N, G, size_of(w.zero_point_type)});
  }
  return rows;
}

void Int4Problem::set_code(int64_t n, int64_t k, int64_t code) {
  uint8_t& byte = code_row(n)[k / 2];
  byte = static_cast<uint8_t>(k % 2 == 0 ? (byte & 0xf0) | code : (byte & 0x0f) | code << 4);
}

}  // namespace torchao_ops::test
