#include "tests/cpp/mm_problem.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace torchao_ops::test {
namespace {

// Bytes of `rows` rows of `columns` elements that lie row_stride apart: nothing after the last element.
int64_t matrix_bytes(int64_t rows, int64_t columns, int64_t row_stride, int64_t element_size) {
  return rows == 0 ? 0 : ((rows - 1) * row_stride + columns) * element_size;
}

FloatType random_type(Random& random) { return random.one_of({FloatType::f32, FloatType::f16, FloatType::bf16}); }

std::optional<FloatType> random_optional_type(Random& random) {
  if (random.integer(0, 2) == 0) return std::nullopt;
  return random_type(random);
}

const char* optional_name(std::optional<FloatType> type) { return type ? name_of(*type) : "none"; }

}  // namespace

const char* name_of(FloatType type) {
  switch (type) {
    case FloatType::f32: return "f32";
    case FloatType::f16: return "f16";
    case FloatType::bf16: return "bf16";
  }
  return "";
}

const char* name_of(sparse24::ValueType type) {
  switch (type) {
    case sparse24::ValueType::f32: return "f32";
    case sparse24::ValueType::f16: return "f16";
    case sparse24::ValueType::bf16: return "bf16";
    case sparse24::ValueType::int8: return "int8";
    case sparse24::ValueType::e4m3fn: return "e4m3fn";
  }
  return "";
}

const char* name_of(Float8Type type) { return type == Float8Type::e4m3fn ? "e4m3fn" : "e5m2"; }

double unit_roundoff(FloatType type) {
  switch (type) {
    case FloatType::f32: return 0x1p-24;
    case FloatType::f16: return 0x1p-11;
    case FloatType::bf16: return 0x1p-8;
  }
  return 0;
}

std::string text_of(const MmCase& c) {
  return "M=" + std::to_string(c.M) + " N=" + std::to_string(c.N) + " K=" + std::to_string(c.K) +
         " group_size=" + std::to_string(c.group_size) + " x=" + name_of(c.x_type) + " scale=" + name_of(c.scale_type) +
         " zero_point=" + optional_name(c.zero_point_type) + " bias=" + optional_name(c.bias_type) +
         " row_padding=" + std::to_string(c.row_padding) +
         (c.placement == Placement::ends_at_guard ? " buffers end at a guard page" : " buffers start at a guard page") +
         " threads=" + std::to_string(c.threads) + (c.nested ? " nested" : "") + " values=" + name_of(c.value_type) +
         " float8=" + name_of(c.float8_type) + " row_block=" + std::to_string(c.row_block);
}

MmCase with_random_types(MmCase c, Random& random) {
  c.x_type = random_type(random);
  c.scale_type = random_type(random);
  c.zero_point_type = random_optional_type(random);
  c.bias_type = random_optional_type(random);
  c.row_padding = random.one_of<int64_t>({0, 0, 1, 5, 64});
  c.placement = random.one_of({Placement::ends_at_guard, Placement::starts_at_guard});
  c.threads = random.one_of<int64_t>({1, 1, 2, 3, 7});
  c.nested = random.integer(0, 1) == 0;
  c.value_type = static_cast<sparse24::ValueType>(random.integer(0, 4));
  c.float8_type = random.one_of({Float8Type::e4m3fn, Float8Type::e5m2});
  c.row_block = random.one_of<int64_t>({1, 1, 2, 7, 128, fp8::all});
  return c;
}

MmCase random_case(Random& random, int64_t max_products) {
  MmCase c;
  do {
    c.M = random.one_of<int64_t>({0, 1, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 127, 130, 257});
    c.N = random.one_of<int64_t>({0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 96, 127, 130, 257});
    c.K = random.one_of<int64_t>({0, 1, 2, 3, 7, 31, 32, 33, 64, 96, 127, 128, 130, 256, 257, 384, 512, 640, 1000});
    c.group_size = random.one_of<int64_t>({1, 3, 7, 16, 31, 32, 32, 33, 48, 64, 64, 96, 100, 128, 128, 256, 2000, INT64_MAX});
  } while (c.M * c.N * c.K > max_products);
  return with_random_types(c, random);
}

MmProblem::MmProblem(const MmCase& c, const Codes& codes) : case_(c), code_kind_(codes) {
  const int64_t pad = c.row_padding;
  auto buffer = [&](int64_t bytes) { return GuardedBuffer(bytes, c.placement); };
  x_ = buffer(matrix_bytes(c.M, c.K, c.K + pad, size_of(c.x_type)));
  if (codes.flat) {
    codes_ = buffer(ceil_div(c.N * c.K, codes.per_byte));
  } else {
    codes_ = buffer(matrix_bytes(c.N, ceil_div(c.K, codes.per_byte), code_row_stride(), 1));
    scale_ = buffer(matrix_bytes(c.N, c.G(), c.G() + pad, size_of(c.scale_type)));
  }
  if (c.zero_point_type) zero_point_ = buffer(matrix_bytes(c.N, c.G(), c.G() + pad, size_of(*c.zero_point_type)));
  if (c.bias_type) bias_ = buffer(c.N * size_of(*c.bias_type));
  y_ = buffer(c.M * c.N * size_of(c.x_type));
  // 0xff is NaN in all three types: padding that is read shows.
  for (GuardedBuffer* operand : {&x_, &codes_, &scale_, &zero_point_}) {
    if (operand->data() != nullptr) std::memset(operand->data(), 0xff, static_cast<size_t>(operand->size()));
  }
}

MmArgs MmProblem::mm_args() const {
  const MmCase& c = case_;
  MmArgs args{};
  args.x = x_.data();
  args.x_type = c.x_type;
  args.x_row_stride = c.K + c.row_padding;
  args.bias = bias_.data();
  args.bias_type = c.bias_type.value_or(FloatType::f32);
  args.y = y_.data();
  args.M = c.M;
  return args;
}

void MmProblem::set_x(int64_t m, int64_t k, double value) {
  store_float(static_cast<float>(value), x_.data(), case_.x_type, m * (case_.K + case_.row_padding) + k);
}

void MmProblem::set_scale(int64_t n, int64_t g, double value) {
  store_float(static_cast<float>(value), scale_.data(), case_.scale_type, n * (case_.G() + case_.row_padding) + g);
}

void MmProblem::set_zero_point(int64_t n, int64_t g, double value) {
  if (!case_.zero_point_type) return;
  store_float(static_cast<float>(value), zero_point_.data(), *case_.zero_point_type, n * (case_.G() + case_.row_padding) + g);
}

void MmProblem::set_bias(int64_t n, double value) {
  if (case_.bias_type) store_float(static_cast<float>(value), bias_.data(), *case_.bias_type, n);
}

float MmProblem::x(int64_t m, int64_t k) const {
  return load_float(x_.data(), case_.x_type, m * (case_.K + case_.row_padding) + k);
}

float MmProblem::bias(int64_t n) const { return case_.bias_type ? load_float(bias_.data(), *case_.bias_type, n) : 0.0f; }

double MmProblem::quantized(float x, float scale) const { return std::nearbyint(x / scale) * double{scale}; }

int64_t MmProblem::exact_activation(Random& random, bool dynamic) const {
  return dynamic ? random.integer(-127, 127) : random.integer(-8, 8);
}

void MmProblem::fill_exact(Random& random, bool dynamic) {
  const MmCase& c = case_;
  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t k = 0; k < c.K; ++k) set_x(m, k, static_cast<double>(exact_activation(random, dynamic)));
    const double largest = largest_exact_activation();
    if (dynamic && c.K > 0) set_x(m, random.integer(0, c.K - 1), random.one_of({-largest, largest}));
  }
  for (int64_t n = 0; n < c.N; ++n) {
    for (int64_t k = 0; k < c.K; ++k) set_code(n, k, exact_code(random));
    for (int64_t g = 0; g < c.G(); ++g) {
      set_scale(n, g, random.one_of({0.5, 1.0, 2.0, -1.0}));
      set_zero_point(n, g, 0.5 * static_cast<double>(random.integer(0, 30)));
    }
    set_bias(n, static_cast<double>(random.integer(-100, 100)));
  }
}

void MmProblem::fill_ordinary(Random& random) {
  const MmCase& c = case_;
  const bool fractional = random.integer(0, 3) == 0;
  for (int64_t m = 0; m < c.M; ++m)
    for (int64_t k = 0; k < c.K; ++k) set_x(m, k, random.normal());
  for (int64_t n = 0; n < c.N; ++n) {
    for (int64_t k = 0; k < c.K; ++k) set_code(n, k, random.integer(code_kind_.lowest, code_kind_.highest));
    for (int64_t g = 0; g < c.G(); ++g) {
      set_scale(n, g, random.uniform(0.005, 0.02));
      set_zero_point(n, g, fractional ? random.uniform(5, 10) : static_cast<double>(random.integer(5, 10)));
    }
    set_bias(n, 0.1 * random.normal());
  }
}

void MmProblem::copy_weight(const MmProblem& other) {
  codes_.copy(other.codes_);
  scale_.copy(other.scale_);
  zero_point_.copy(other.zero_point_);
  bias_.copy(other.bias_);
}

void MmProblem::set_writable(bool writable) {
  for (GuardedBuffer* operand : {&x_, &codes_, &scale_, &zero_point_, &bias_}) {
    if (operand->data() != nullptr) operand->set_writable(writable);
  }
}

void MmProblem::before_run(const std::string& description) {
  describe_current_case(description.c_str());
  set_writable(false);
  y_.fill_with_pattern();
}

std::vector<uint8_t> MmProblem::after_run(const std::string& description) {
  EXPECT_TRUE(y_.slack_is_untouched()) << "wrote outside y: " << description;
  set_writable(true);
  return std::vector<uint8_t>(y_.data(), y_.data() + y_.size());
}

testing::AssertionResult same_bytes(const std::vector<uint8_t>& got, const std::vector<uint8_t>& expected) {
  if (got.size() != expected.size()) return testing::AssertionFailure() << got.size() << " bytes, not " << expected.size();
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] != expected[i]) {
      return testing::AssertionFailure() << "byte " << i << " of " << got.size() << " is " << int{got[i]} << ", not "
                                         << int{expected[i]};
    }
  }
  return testing::AssertionSuccess();
}

float y_at(const std::vector<uint8_t>& y, FloatType type, int64_t i) { return load_float(y.data(), type, i); }

}  // namespace torchao_ops::test
