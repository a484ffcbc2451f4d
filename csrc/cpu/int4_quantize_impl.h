// int4_quantize, for the file of each ISA (quantize_weight.h).
#pragma once

#include "csrc/cpu/int4_quantize.h"
#include "csrc/cpu/quantize_weight.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

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
  Scratch<uint8_t> codes(row_pieces(args.N, parallel) * (args.K + 1));
  if (!all_allocated(codes)) return Status::out_of_memory;
  for_each_piece_of_rows(args.N, parallel, [&](int64_t begin, int64_t end, int64_t piece) {
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
