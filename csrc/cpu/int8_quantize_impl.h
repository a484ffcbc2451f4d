// int8_quantize, for the file of each ISA (quantize_weight.h).
#pragma once

#include "csrc/cpu/int8_quantize.h"
#include "csrc/cpu/quantize_weight.h"

namespace torchao_ops {
namespace {

// w / scale is clamped before it is rounded, to where rounding by addition is exact; the bounds are integers, so that changes no code.
template <class T>
TORCHAO_OPS_INLINE void codes_of(const T* weight, int64_t count, float scale, int8_t* codes) {
  constexpr float largest = int8::largest_code;
  auto code = [&](T w) {
    return static_cast<int8_t>(static_cast<int32_t>(round_half_even(clamp(to_float(w) / scale, -largest, largest))));
  };
  int64_t k = 0;
  for (; k + width <= count; k += width)
    for (int i = 0; i < width; ++i) codes[k + i] = code(weight[k + i]);
  for (; k < count; ++k) codes[k] = code(weight[k]);
}

template <class T>
TORCHAO_OPS_INLINE void quantize_row(const Int8QuantizeArgs& args, int64_t n) {
  const int64_t K = args.K, G = group_count(K, args.group_size);
  const T* weight = static_cast<const T*>(args.weight) + n * args.weight_row_stride;
  int8_t* codes = args.codes + n * K;
  for (int64_t g = 0; g < G; ++g) {
    const int64_t begin = g * args.group_size;
    const int64_t count = K - begin < args.group_size ? K - begin : args.group_size;
    const Range range = range_of(weight + begin, count);
    T stored;
    from_float((-range.lo > range.hi ? -range.lo : range.hi) / float{int8::largest_code}, &stored);
    if (!range.finite) from_float(float_from_bits(0x7fc00000u), &stored);
    static_cast<T*>(args.scale)[n * G + g] = stored;
    if (range.finite && to_float(stored) != 0.0f) {
      codes_of(weight + begin, count, to_float(stored), codes + begin);
    } else {
      for (int64_t k = begin; k < begin + count; ++k) codes[k] = 0;
    }
  }
}

TORCHAO_OPS_INLINE Status quantize(const Int8QuantizeArgs& args, const Parallel& parallel) {
  for_each_piece_of_rows(args.N, parallel, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t n = begin; n < end; ++n) {
      switch (args.type) {
        case FloatType::f32: quantize_row<float>(args, n); break;
        case FloatType::f16: quantize_row<Half>(args, n); break;
        case FloatType::bf16: quantize_row<BFloat16>(args, n); break;
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
