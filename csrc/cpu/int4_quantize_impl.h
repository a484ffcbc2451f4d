// int4_quantize, written once in plain C++ and compiled for each ISA by the file that includes it: fixed-width inner loops that the
// compiler turns into vectors. No reordering and no contraction is allowed, so every ISA writes the same bytes.
#pragma once

#include "csrc/cpu/int4_quantize.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

constexpr int width = 16;  // elements handled side by side: one AVX-512, two AVX2 or four SSE2 vectors of fp32

// Round half to even for |value| <= 2^22: 1.5 * 2^23 makes fp32's last mantissa bit the unit.
TORCHAO_OPS_INLINE float round_half_even(float value) {
  constexpr float magic = 12582912.0f;
  return (value + magic) - magic;
}

TORCHAO_OPS_INLINE float clamp(float value, float lo, float hi) {
  const float raised = value < lo ? lo : value;
  return raised > hi ? hi : raised;
}

struct Range {
  float lo, hi;
  bool finite;
};

template <class T>
TORCHAO_OPS_INLINE Range range_of(const T* weight, int64_t count) {
  float lo[width] = {}, hi[width] = {};
  uint32_t not_finite[width] = {};
  int64_t k = 0;
  for (; k + width <= count; k += width) {
    for (int i = 0; i < width; ++i) {
      const float w = to_float(weight[k + i]);
      lo[i] = w < lo[i] ? w : lo[i];
      hi[i] = w > hi[i] ? w : hi[i];
      not_finite[i] |= is_finite(w) ? 0u : 1u;
    }
  }
  for (; k < count; ++k) {
    const float w = to_float(weight[k]);
    lo[0] = w < lo[0] ? w : lo[0];
    hi[0] = w > hi[0] ? w : hi[0];
    not_finite[0] |= is_finite(w) ? 0u : 1u;
  }
  for (int i = 1; i < width; ++i) {
    lo[0] = lo[i] < lo[0] ? lo[i] : lo[0];
    hi[0] = hi[i] > hi[0] ? hi[i] : hi[0];
    not_finite[0] |= not_finite[i];
  }
  return {lo[0], hi[0], not_finite[0] == 0};
}

// Codes of a group: any w / scale is first brought to [-16, 16], where rounding by addition is exact, without changing the clamped code.
template <class T>
TORCHAO_OPS_INLINE void codes_of(const T* weight, int64_t count, float scale, float zero_point, uint8_t* codes) {
  auto code = [&](T w) {
    const float rounded = round_half_even(clamp(to_float(w) / scale, -16.0f, 16.0f));
    return static_cast<uint8_t>(static_cast<int32_t>(clamp(rounded + zero_point, 0.0f, 15.0f)));
  };
  int64_t k = 0;
  for (; k + width <= count; k += width)
    for (int i = 0; i < width; ++i) codes[k + i] = code(weight[k + i]);
  for (; k < count; ++k) codes[k] = code(weight[k]);
}

// One group of one row. k is the group's first element; its codes go to codes[0, count), to be packed by the caller.
template <class T>
TORCHAO_OPS_INLINE void quantize_group(const Int4QuantizeArgs& args, const T* weight, int64_t count, int64_t at, uint8_t* codes) {
  const Range range = range_of(weight, count);
  const float magnitude = -range.lo > range.hi ? -range.lo : range.hi;
  T stored;
  from_float(args.symmetric ? magnitude / 7.0f : (range.hi - range.lo) / 15.0f, &stored);
  float scale = to_float(stored);
  if (!range.finite || !is_finite(scale)) scale = float_from_bits(0x7fc00000u);
  const bool usable = is_finite(scale) && scale != 0.0f;
  float zero_point = int4::symmetric_zero_point;
  if (!args.symmetric) {
    zero_point = usable ? round_half_even(clamp((0.0f - range.lo) / scale, 0.0f, 15.0f)) : 0.0f;
  }
  from_float(scale, static_cast<T*>(args.scale) + at);
  from_float(zero_point, static_cast<T*>(args.zero_point) + at);
  if (usable) {
    codes_of(weight, count, scale, zero_point, codes);
  } else {
    for (int64_t k = 0; k < count; ++k) codes[k] = static_cast<uint8_t>(static_cast<int32_t>(zero_point));
  }
}

template <class T>
TORCHAO_OPS_INLINE void quantize_row(const Int4QuantizeArgs& args, int64_t n, uint8_t* codes) {
  const int64_t K = args.K, G = group_count(K, args.group_size);
  const T* weight = static_cast<const T*>(args.weight) + n * args.weight_row_stride;
  for (int64_t g = 0; g < G; ++g) {
    const int64_t begin = g * args.group_size;
    const int64_t count = K - begin < args.group_size ? K - begin : args.group_size;
    quantize_group(args, weight + begin, count, n * G + g, codes + begin);
  }
  codes[K] = 0;  // the unused high nibble of an odd K
  uint8_t* packed = args.packed + n * int4::packed_columns(K);
  for (int64_t j = 0; j < int4::packed_columns(K); ++j) packed[j] = static_cast<uint8_t>(codes[2 * j] | codes[2 * j + 1] << 4);
}

TORCHAO_OPS_INLINE Status quantize(const Int4QuantizeArgs& args, const Parallel& parallel) {
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  const int64_t rows_per_piece = ceil_div(args.N, threads * 8);
  const int64_t pieces = args.N == 0 ? 0 : ceil_div(args.N, rows_per_piece);
  Scratch<uint8_t> codes(pieces * (args.K + 1));
  if (!all_allocated(codes)) return Status::out_of_memory;
  for_each_piece(parallel, pieces, [&](int64_t piece, int64_t) {
    const int64_t begin = piece * rows_per_piece;
    const int64_t end = args.N - begin < rows_per_piece ? args.N : begin + rows_per_piece;
    uint8_t* row_codes = codes.get() + piece * (args.K + 1);
    for (int64_t n = begin; n < end; ++n) {
      switch (args.type) {
        case FloatType::f32: quantize_row<float>(args, n, row_codes); break;
        case FloatType::f16: quantize_row<Half>(args, n, row_codes); break;
        case FloatType::bf16: quantize_row<BFloat16>(args, n, row_codes); break;
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
