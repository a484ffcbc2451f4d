#include "tests/cpp/sparse24_problem.h"

#include <cstring>

namespace torchao_ops::test {
namespace {

using sparse24::ValueType;

MmCase sparse24_case(MmCase c) {
  c.zero_point_type.reset();
  c.group_size = INT64_MAX;
  return c;
}

int64_t rows_bytes(int64_t rows, int64_t columns, int64_t row_stride) {
  return rows == 0 ? 0 : (rows - 1) * row_stride + columns;
}

}  // namespace

Sparse24Problem::Sparse24Problem(const MmCase& c)
    : MmProblem(sparse24_case(c),
                {c.value_type == ValueType::e4m3fn ? -16 : -128, c.value_type == ValueType::e4m3fn ? 16 : 127, 1, true}) {
  const int64_t columns = sparse24::value_columns(c.K), bytes = sparse24::size_of(c.value_type),
                mask_columns = sparse24::bitmask_columns(c.K);
  codes_ = GuardedBuffer(rows_bytes(c.N, columns, columns + c.row_padding) * bytes, c.placement);
  scale_ = GuardedBuffer(c.N * size_of(c.scale_type), c.placement);
  bitmask_ = GuardedBuffer(rows_bytes(c.N, mask_columns, mask_columns + c.row_padding), c.placement);
  for (GuardedBuffer* operand : {&codes_, &scale_, &bitmask_}) {
    std::memset(operand->data(), 0xff, static_cast<size_t>(operand->size()));
  }
  Random random(static_cast<uint64_t>(c.N * 1000003 + c.K * 5 + static_cast<int64_t>(c.value_type)));
  const bool two_of_each = random.integer(0, 3) != 0;
  for (int64_t n = 0; n < c.N; ++n) {
    for (int64_t quad = 0; quad < sparse24::quads(c.K); ++quad) {
      const int64_t count = c.K - 4 * quad < 4 ? c.K - 4 * quad : 4;
      int bits;
      do {
        bits = static_cast<int>(random.integer(0, (1 << count) - 1));
      } while (sparse24::kept(bits) > 2 || (two_of_each && sparse24::kept(bits) < (count < 2 ? count : 2)));
      set_bits(n, quad, bits);
    }
  }
}

Sparse24MmArgs Sparse24Problem::args() const {
  const MmCase& c = case_;
  Sparse24MmArgs args{};
  args.mm = mm_args();
  args.weight.values = codes_.data();
  args.weight.value_type = c.value_type;
  args.weight.value_row_stride = sparse24::value_columns(c.K) + c.row_padding;
  args.weight.bitmask = bitmask_.data();
  args.weight.bitmask_row_stride = sparse24::bitmask_columns(c.K) + c.row_padding;
  args.weight.scale = scale_.data();
  args.weight.scale_type = c.scale_type;
  args.weight.N = c.N;
  args.weight.K = c.K;
  args.violation = &violation_;
  return args;
}

std::vector<OperandRows> Sparse24Problem::operand_rows(Sparse24MmArgs& args) {
  sparse24::Weight& w = args.weight;
  return {{&args.mm.x, &args.mm.x_row_stride, args.mm.M, w.K, size_of(args.mm.x_type)},
          {&w.values, &w.value_row_stride, w.N, sparse24::value_columns(w.K), sparse24::size_of(w.value_type)},
          {reinterpret_cast<const void**>(&w.bitmask), &w.bitmask_row_stride, w.N, sparse24::bitmask_columns(w.K), 1}};
}

void Sparse24Problem::set_scale(int64_t n, int64_t, double value) {
  store_float(static_cast<float>(value), scale_.data(), case_.scale_type, n);
}

uint8_t* Sparse24Problem::slot(int64_t n, int64_t i) {
  return codes_.data() + (n * args().weight.value_row_stride + i) * sparse24::size_of(case_.value_type);
}

void Sparse24Problem::set_value(int64_t n, int64_t k, float value) {
  if (!is_stored(n, k)) return;
  uint8_t* p = slot(n, 2 * (k / 4) + sparse24::slot_of(bits(n, k / 4), static_cast<int>(k % 4)));
  switch (case_.value_type) {
    case ValueType::f32: store_float(value, p, FloatType::f32, 0); break;
    case ValueType::f16: store_float(value, p, FloatType::f16, 0); break;
    case ValueType::bf16: store_float(value, p, FloatType::bf16, 0); break;
    case ValueType::int8: *p = static_cast<uint8_t>(static_cast<int8_t>(value)); break;
    case ValueType::e4m3fn: store_float8(value, p, Float8Type::e4m3fn, 0); break;
  }
}

void Sparse24Problem::set_bits(int64_t n, int64_t quad, int bits) {
  const int64_t count = case_.K - 4 * quad < 4 ? case_.K - 4 * quad : 4;
  uint8_t& byte = bitmask_.data()[n * args().weight.bitmask_row_stride + quad / 2];
  const int shift = quad % 2 == 0 ? 0 : 4, mask = ((1 << count) - 1) << shift;
  byte = static_cast<uint8_t>((byte & ~mask) | (bits << shift & mask));
}

float Sparse24Problem::activation_scale(float max_magnitude) const {
  return sums_integers() ? MmProblem::activation_scale(max_magnitude) : max_magnitude / Float8E4m3fn::largest;
}

double Sparse24Problem::quantized(float x, float scale) const {
  if (sums_integers()) return MmProblem::quantized(x, scale);
  Float8E4m3fn q;
  from_float(x / scale, &q);
  return double{to_float(q)} * scale;
}

int64_t Sparse24Problem::exact_activation(Random& random, bool dynamic) const {
  if (sums_integers()) return MmProblem::exact_activation(random, dynamic);
  return dynamic ? random.integer(-16, 16) : random.integer(-8, 8);
}

double Sparse24Problem::largest_exact_activation() const { return sums_integers() ? 127 : double{Float8E4m3fn::largest}; }

void Sparse24Problem::set_writable(bool writable) {
  MmProblem::set_writable(writable);
  bitmask_.set_writable(writable);
}

}  // namespace torchao_ops::test
