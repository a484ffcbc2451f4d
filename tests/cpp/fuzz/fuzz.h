// What the fuzz targets share: arguments from a fuzzer's bytes, in memory that ends where AddressSanitizer can see it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "csrc/spec/float_types.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/fp8.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops::test {

// Takes values off the front of the input; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  int64_t below(int64_t count) { return (byte() | byte() << 8) % count; }
  FloatType float_type() { return static_cast<FloatType>(byte() % 3); }

  // Sizes from the small ones where edges are, group sizes among them what no one would choose.
  int64_t size() { return below(byte() % 4 == 0 ? 300 : 70); }
  int64_t group_size() {
    switch (byte() % 4) {
      case 0: return 32 * (1 + below(8));
      case 1: return INT64_MAX - below(3);
      default: return 1 + below(140);
    }
  }
  int64_t row_block() { return byte() % 2 == 0 ? 1 : group_size(); }
  Float8Type float8_type() { return byte() % 2 == 0 ? Float8Type::e4m3fn : Float8Type::e5m2; }
  int64_t nf4_block_size() { return byte() % 8 == 0 ? int64_t{1} << 62 : int64_t{32} << byte() % 6; }

 private:
  const uint8_t* data_;
  size_t size_;
};

// A heap block of exactly `bytes`, whose contents repeat a stretch of the input.
class Block {
 public:
  Block(int64_t bytes, Input& input) : bytes_(new uint8_t[static_cast<size_t>(bytes)]), size_(bytes) {
    uint8_t seed[16];
    for (uint8_t& byte : seed) byte = input.byte();
    for (int64_t i = 0; i < bytes; ++i) bytes_[i] = static_cast<uint8_t>(seed[i % 16] + (i / 16) * seed[(i / 16) % 16]);
  }
  uint8_t* data() const { return bytes_.get(); }
  int64_t size() const { return size_; }
  std::vector<uint8_t> copy() const { return {bytes_.get(), bytes_.get() + size_}; }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  int64_t size_;
};

// An int4 weight [N, K] whose three blocks it owns.
struct FuzzedInt4Weight {
  FuzzedInt4Weight(int64_t N, int64_t K, Input& input)
      : group_size(input.group_size()),
        padding(input.below(4)),
        scale_type(input.float_type()),
        zero_point_type(input.float_type()),
        has_zero_point(input.byte() % 2 == 0),
        columns(int4::packed_columns(K)),
        G(group_count(K, group_size)),
        packed(N == 0 ? 0 : (N - 1) * (columns + padding) + columns, input),
        scale(N == 0 ? 0 : ((N - 1) * (G + padding) + G) * size_of(scale_type), input),
        zero_point(N == 0 ? 0 : ((N - 1) * (G + padding) + G) * size_of(zero_point_type), input),
        view{packed.data(),
             columns + padding,
             scale.data(),
             scale_type,
             G + padding,
             has_zero_point ? zero_point.data() : nullptr,
             zero_point_type,
             G + padding,
             N,
             K,
             group_size} {}

  int64_t group_size, padding;
  FloatType scale_type, zero_point_type;
  bool has_zero_point;
  int64_t columns, G;
  Block packed, scale, zero_point;
  int4::Weight view;
};

// An int8 weight [N, K] whose two blocks it owns.
struct FuzzedInt8Weight {
  FuzzedInt8Weight(int64_t N, int64_t K, Input& input)
      : group_size(input.group_size()),
        padding(input.below(4)),
        scale_type(input.float_type()),
        G(group_count(K, group_size)),
        codes(N == 0 ? 0 : (N - 1) * (K + padding) + K, input),
        scale(N == 0 ? 0 : ((N - 1) * (G + padding) + G) * size_of(scale_type), input),
        view{
            reinterpret_cast<const int8_t*>(codes.data()), K + padding, scale.data(), scale_type, G + padding, N, K, group_size} {
  }

  int64_t group_size, padding;
  FloatType scale_type;
  int64_t G;
  Block codes, scale;
  int8::Weight view;
};

// An fp8 matrix [N, K] whose two blocks it owns.
struct FuzzedFp8Weight {
  FuzzedFp8Weight(int64_t N, int64_t K, Input& input)
      : group_size(input.group_size()),
        row_block(input.row_block()),
        padding(input.below(4)),
        scale_type(input.float_type()),
        type(input.float8_type()),
        rows(ceil_div(N, row_block)),
        G(group_count(K, group_size)),
        by_columns(input.byte() % 2 == 0),
        scale_stride((by_columns ? rows : G) + padding),
        codes(N == 0 ? 0 : (N - 1) * (K + padding) + K, input),
        scale(rows == 0 || G == 0 ? 0
                                  : (((by_columns ? G : rows) - 1) * scale_stride + scale_stride - padding) * size_of(scale_type),
              input),
        view{codes.data(),
             type,
             K + padding,
             scale.data(),
             scale_type,
             by_columns ? 1 : scale_stride,
             by_columns ? scale_stride : 1,
             N,
             K,
             row_block,
             group_size} {}

  int64_t group_size, row_block, padding;
  FloatType scale_type;
  Float8Type type;
  int64_t rows, G;
  bool by_columns;  // whether scales of a column are adjacent
  int64_t scale_stride;
  Block codes, scale;
  fp8::Weight view;
};

// An nf4 weight [N, K] whose blocks it owns.
struct FuzzedNf4Weight {
  FuzzedNf4Weight(int64_t N, int64_t K, Input& input)
      : block_size(input.nf4_block_size()),
        nested_block_size(input.group_size()),
        absmax_type(input.float_type()),
        nested(input.byte() % 2 == 0),
        blocks(ceil_div(N * K, block_size)),
        packed(nf4::packed_bytes(N * K), input),
        absmax(blocks * (nested ? 1 : size_of(absmax_type)), input),
        absmax_code(256 * 4, input),
        nested_absmax(ceil_div(blocks, nested_block_size) * 4, input),
        absmax_offset(4, input),
        view{packed.data(),
             absmax.data(),
             absmax_type,
             nested ? floats(absmax_code) : nullptr,
             floats(nested_absmax),
             floats(absmax_offset),
             nested_block_size,
             N,
             K,
             block_size} {}

  static const float* floats(const Block& block) { return reinterpret_cast<const float*>(block.data()); }

  int64_t block_size, nested_block_size;
  FloatType absmax_type;
  bool nested;
  int64_t blocks;
  Block packed, absmax, absmax_code, nested_absmax, absmax_offset;
  nf4::Weight view;
};

// A 2:4 sparse weight [N, K] whose blocks it owns. Most bitmasks keep at most two of each quad.
struct FuzzedSparse24Weight {
  FuzzedSparse24Weight(int64_t N, int64_t K, bool dynamic, Input& input)
      : type(static_cast<sparse24::ValueType>(dynamic ? 3 + input.byte() % 2 : input.byte() % 5)),
        padding(input.below(4)),
        scale_type(input.float_type()),
        has_scale(sparse24::size_of(type) == 1 || input.byte() % 2 == 0),
        columns(sparse24::value_columns(K)),
        bitmask_columns(sparse24::bitmask_columns(K)),
        values(N == 0 ? 0 : ((N - 1) * (columns + padding) + columns) * sparse24::size_of(type), input),
        bitmask(N == 0 ? 0 : (N - 1) * (bitmask_columns + padding) + bitmask_columns, input),
        scale(N * size_of(scale_type), input),
        view{values.data(),
             type,
             columns + padding,
             bitmask.data(),
             bitmask_columns + padding,
             has_scale ? scale.data() : nullptr,
             scale_type,
             N,
             K} {
    if (input.byte() % 4 == 0) return;
    for (int64_t i = 0; i < bitmask.size(); ++i) {
      const uint8_t pairs[6] = {0x3, 0x5, 0x9, 0x6, 0xa, 0xc}, byte = bitmask.data()[i];
      bitmask.data()[i] = static_cast<uint8_t>(pairs[byte % 6] | pairs[byte / 6 % 6] << 4);
    }
  }

  // The largest finite magnitude of a value, or Inf if there is one that is not finite.
  double largest() const {
    double largest = 1;
    for (int64_t n = 0; n < view.N; ++n) {
      for (int64_t k = 0; k < view.K; ++k) {
        const float number = view.number(n, k);
        largest = !is_finite(number) ? HUGE_VAL : std::fmax(largest, std::fabs(double{number}));
        if (largest == HUGE_VAL) return largest;
      }
    }
    return largest;
  }

  sparse24::ValueType type;
  int64_t padding;
  FloatType scale_type;
  bool has_scale;
  int64_t columns, bitmask_columns;
  Block values, bitmask, scale;
  sparse24::Weight view;
};

// Ends the process with a crash that the fuzzer reports.
[[noreturn]] inline void fail(const char* kernel, const char* what) {
  std::fprintf(stderr, "%s: %s\n", kernel, what);
  std::abort();
}

}  // namespace torchao_ops::test
