// Dense weights of every type of value, in guarded memory, for the tests of sparse24_prune, sparse24_compress and sparse24_decompress.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "csrc/spec/sparse24.h"
#include "tests/cpp/guarded_buffer.h"
#include "tests/cpp/mm_problem.h"
#include "tests/cpp/random.h"

namespace torchao_ops::test {

inline const sparse24::ValueType all_value_types[] = {sparse24::ValueType::f32, sparse24::ValueType::f16,
                                                      sparse24::ValueType::bf16, sparse24::ValueType::int8,
                                                      sparse24::ValueType::e4m3fn};

inline void store_value(double value, void* values, sparse24::ValueType type, int64_t i) {
  switch (type) {
    case sparse24::ValueType::f32: static_cast<float*>(values)[i] = static_cast<float>(value); break;
    case sparse24::ValueType::f16: from_float(static_cast<float>(value), static_cast<Half*>(values) + i); break;
    case sparse24::ValueType::bf16: from_float(static_cast<float>(value), static_cast<BFloat16*>(values) + i); break;
    case sparse24::ValueType::int8: static_cast<int8_t*>(values)[i] = static_cast<int8_t>(value); break;
    case sparse24::ValueType::e4m3fn: from_float(static_cast<float>(value), static_cast<Float8E4m3fn*>(values) + i); break;
  }
}

struct Sparse24Case {
  int64_t N, K;
  sparse24::ValueType type;
  int64_t row_padding;  // elements between rows, of every operand that may have some
  Placement placement;
  int64_t threads;
};

inline Sparse24Case random_types(int64_t N, int64_t K, Random& random) {
  return {N,
          K,
          all_value_types[random.integer(0, 4)],
          random.one_of<int64_t>({0, 0, 1, 5}),
          random.one_of({Placement::ends_at_guard, Placement::starts_at_guard}),
          random.one_of<int64_t>({1, 1, 2, 3, 7})};
}

inline std::string text_of(const Sparse24Case& c) {
  return "N=" + std::to_string(c.N) + " K=" + std::to_string(c.K) + " " + name_of(c.type) +
         " row_padding=" + std::to_string(c.row_padding) + (c.placement == Placement::ends_at_guard ? " ends" : " starts") +
         " at a guard page, threads=" + std::to_string(c.threads);
}

// Rows of columns elements that lie c.row_padding elements apart; what lies between them are ones in all bits.
class GuardedRows {
 public:
  GuardedRows(const Sparse24Case& c, int64_t columns, int64_t element_bytes)
      : stride_(columns + c.row_padding),
        columns_(columns),
        element_bytes_(element_bytes),
        buffer_(c.N == 0 ? 0 : ((c.N - 1) * stride_ + columns) * element_bytes, c.placement) {
    if (buffer_.size() > 0) std::memset(buffer_.data(), 0xff, static_cast<size_t>(buffer_.size()));
  }
  uint8_t* data() const { return buffer_.data(); }
  int64_t stride() const { return stride_; }
  int64_t at(int64_t n, int64_t k) const { return n * stride_ + k; }
  void fill_with_random_bits(Random& random) {
    if (columns_ == 0) return;
    for (int64_t i = 0; i < buffer_.size(); ++i) {
      if (i / element_bytes_ % stride_ < columns_) buffer_.data()[i] = static_cast<uint8_t>(random.bits());
    }
  }
  void set_writable(bool writable) { buffer_.set_writable(writable); }

 private:
  int64_t stride_, columns_, element_bytes_;
  GuardedBuffer buffer_;
};

inline std::vector<uint8_t> bytes_of(const GuardedBuffer& buffer) { return {buffer.data(), buffer.data() + buffer.size()}; }

// Numbers among which are many of the same magnitude, zeros of both signs, and some of what is no number.
inline double number_with_ties(Random& random) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (random.integer(0, 9) == 0) return random.one_of({0.0, -0.0, infinity, -infinity, std::nan("")});
  return static_cast<double>(random.integer(-3, 3));
}
// The same for every type.
inline void set_with_ties(const Sparse24Case& c, const GuardedRows& weight, Random& random) {
  for (int64_t n = 0; n < c.N; ++n) {
    for (int64_t k = 0; k < c.K; ++k) {
      const double number = number_with_ties(random);
      const bool fits = c.type != sparse24::ValueType::int8 || std::abs(number) <= 127;
      store_value(fits ? number : -128, weight.data(), c.type, weight.at(n, k));
    }
  }
}

inline const int64_t interesting_columns[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,  13,  15,  16,  17,
                                              19, 23, 24, 25, 31, 32, 33, 47, 63, 64, 65, 66, 127, 128, 130, 1000};

}  // namespace torchao_ops::test
