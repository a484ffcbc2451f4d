#include "tests/cpp/fp8_problem.h"

#include <cstring>

namespace torchao_ops::test {
namespace {

MmCase without_zero_point(MmCase c) {
  c.zero_point_type.reset();
  return c;
}

}  // namespace

int64_t code_count(Float8Type type, float largest) {
  uint8_t code;
  store_float8(largest, &code, type, 0);
  return code + 1;
}

Fp8Problem::Fp8Problem(MmCase c)
    : MmProblem(without_zero_point(c), {0, 2 * code_count(c.float8_type, Float8E4m3fn::largest) - 1, 1}),
      magnitudes_(code_count(c.float8_type, Float8E4m3fn::largest)) {
  const int64_t rows = by_columns() ? c.G() : blocks(), columns = by_columns() ? blocks() : c.G();
  const int64_t elements = rows == 0 || columns == 0 ? 0 : (rows - 1) * (columns + c.row_padding) + columns;
  scale_ = GuardedBuffer(elements * size_of(c.scale_type), c.placement);
  std::memset(scale_.data(), 0xff, static_cast<size_t>(scale_.size()));
}

Fp8MmArgs Fp8Problem::args() const {
  const MmCase& c = case_;
  const int64_t columns = (by_columns() ? blocks() : c.G()) + c.row_padding;
  Fp8MmArgs args{};
  args.mm = mm_args();
  args.weight.codes = codes_.data();
  args.weight.type = c.float8_type;
  args.weight.row_stride = code_row_stride();
  args.weight.scale = scale_.data();
  args.weight.scale_type = c.scale_type;
  args.weight.scale_row_stride = by_columns() ? 1 : columns;
  args.weight.scale_column_stride = by_columns() ? columns : 1;
  args.weight.N = c.N;
  args.weight.K = c.K;
  args.weight.row_block = c.row_block;
  args.weight.group_size = c.group_size;
  return args;
}

std::vector<OperandRows> Fp8Problem::operand_rows(Fp8MmArgs& args) {
  fp8::Weight& w = args.weight;
  return {{&args.mm.x, &args.mm.x_row_stride, args.mm.M, w.K, size_of(args.mm.x_type)},
          {&w.codes, &w.row_stride, w.N, w.K, 1},
          {&w.scale, &w.scale_row_stride, ceil_div(w.N, w.row_block), group_count(w.K, w.group_size), size_of(w.scale_type)}};
}

void Fp8Problem::set_code(int64_t n, int64_t k, int64_t code) {
  set_byte(n, k, static_cast<uint8_t>(code < magnitudes_ ? code : 0x80 | (code - magnitudes_)));
}

void Fp8Problem::set_scale(int64_t n, int64_t g, double value) {
  const fp8::Weight w = weight();
  store_float(static_cast<float>(value), scale_.data(), w.scale_type,
              n / w.row_block * w.scale_row_stride + g * w.scale_column_stride);
}

double Fp8Problem::quantized(float x, float scale) const {
  uint8_t code;
  store_float8(x / scale, &code, case_.float8_type, 0);
  return double{load_float8(&code, case_.float8_type, 0)} * scale;
}

int64_t Fp8Problem::exact_code(Random& random) const {
  const int64_t code = code_count(case_.float8_type, static_cast<float>(random.integer(0, 8))) - 1;
  return random.integer(0, 1) == 0 ? code : code + magnitudes_;
}

}  // namespace torchao_ops::test
