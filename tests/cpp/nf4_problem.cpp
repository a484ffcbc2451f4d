#include "tests/cpp/nf4_problem.h"

#include <cstring>

namespace torchao_ops::test {
namespace {

constexpr float offset = 0.25f;

MmCase nf4_case(MmCase c, int64_t group_size) {
  c.zero_point_type.reset();
  c.group_size = group_size;
  return c;
}

}  // namespace

int64_t nf4_block_size(int64_t group_size) {
  int64_t size = 32;
  while (size < group_size && size < int64_t{1} << 62) size *= 2;
  return size;
}

Nf4Problem::Nf4Problem(const MmCase& c, int64_t group_size, int64_t block_size)
    : MmProblem(nf4_case(c, group_size), {0, 15, 2, true}),
      block_size_(block_size),
      blocks_(ceil_div(c.N * c.K, block_size)),
      nested_block_size_(c.N % 3 == 0 ? 256 : 2 * (c.N % 3) - 1) {
  if (!c.nested) {
    scale_ = GuardedBuffer(blocks_ * size_of(c.scale_type), c.placement);
    std::memset(scale_.data(), 0xff, static_cast<size_t>(scale_.size()));
    return;
  }
  scale_ = GuardedBuffer(blocks_, c.placement);
  std::memset(scale_.data(), 0, static_cast<size_t>(scale_.size()));
  absmax_code_ = GuardedBuffer(256 * sizeof(float), c.placement);
  nested_absmax_ = GuardedBuffer(ceil_div(blocks_, nested_block_size_) * size_of(FloatType::f32), c.placement);
  absmax_offset_ = GuardedBuffer(sizeof(float), c.placement);
  for (int64_t i = 0; i < 256; ++i) store_float(NAN, absmax_code_.data(), FloatType::f32, i);
  for (int64_t i = 0; i < nested_absmax_.size() / 4; ++i) store_float(nested_absmax(i), nested_absmax_.data(), FloatType::f32, i);
  store_float(offset, absmax_offset_.data(), FloatType::f32, 0);
}

nf4::Weight Nf4Problem::weight_of(int64_t N, int64_t K) const {
  nf4::Weight w{};
  w.packed = codes_.data();
  w.absmax = scale_.data();
  w.absmax_type = case_.scale_type;
  if (case_.nested) {
    w.absmax_code = reinterpret_cast<const float*>(absmax_code_.data());
    w.nested_absmax = reinterpret_cast<const float*>(nested_absmax_.data());
    w.absmax_offset = reinterpret_cast<const float*>(absmax_offset_.data());
    w.nested_block_size = nested_block_size_;
  }
  w.N = N;
  w.K = K;
  w.group_size = block_size_;
  return w;
}

Nf4MmArgs Nf4Problem::args() const { return {mm_args(), weight_of(case_.N, case_.K)}; }

Nf4MmArgs Nf4TransposedProblem::args() const { return {mm_args(), weight_of(case_.K, case_.N)}; }

std::vector<OperandRows> Nf4Problem::operand_rows(Nf4MmArgs& args) {
  return {{&args.mm.x, &args.mm.x_row_stride, args.mm.M, args.weight.K, size_of(args.mm.x_type)}};
}

void Nf4Problem::set_element_code(int64_t i, int64_t code) {
  uint8_t& byte = codes_.data()[i / 2];
  byte = static_cast<uint8_t>(i % 2 == 0 ? (byte & 0x0f) | code << 4 : (byte & 0xf0) | code);
}

void Nf4Problem::set_absmax(int64_t block, double value) {
  if (!case_.nested) {
    store_float(static_cast<float>(value), scale_.data(), case_.scale_type, block);
    return;
  }
  float* numbers = reinterpret_cast<float*>(absmax_code_.data());
  const float number = (static_cast<float>(value) - offset) / nested_absmax(block / nested_block_size_);
  const int64_t used = std::min<int64_t>(used_codes_, 256);
  int64_t code = 0;
  while (code < used && std::memcmp(&numbers[code], &number, sizeof(number)) != 0) ++code;
  if (code == used) {
    code = used_codes_++ % 256;
    numbers[code] = number;
  }
  scale_.data()[block] = static_cast<uint8_t>(code);
}

void Nf4Problem::copy_weight(const Nf4Problem& other) {
  MmProblem::copy_weight(other);
  absmax_code_.copy(other.absmax_code_);
  nested_absmax_.copy(other.nested_absmax_);
  absmax_offset_.copy(other.absmax_offset_);
}

void Nf4Problem::set_writable(bool writable) {
  MmProblem::set_writable(writable);
  for (GuardedBuffer* operand : {&absmax_code_, &nested_absmax_, &absmax_offset_}) {
    if (operand->data() != nullptr) operand->set_writable(writable);
  }
}

}  // namespace torchao_ops::test
