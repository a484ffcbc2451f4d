// nf4_quantize, for the file of each ISA (quantize_weight.h).
#pragma once

#include "csrc/cpu/nf4_quantize.h"
#include "csrc/cpu/quantize_weight.h"

namespace torchao_ops {
namespace {

TORCHAO_OPS_INLINE int32_t nearest_code(float scaled) {
  int32_t code = 0;
#pragma GCC unroll 15
  for (int c = 0; c < 15; ++c) code += nf4::midpoint_above(c) < scaled ? 1 : 0;
  return code;
}

// The codes of a block, which begins at a whole byte; a missing last one is zero_code.
template <class T, class Scale>
TORCHAO_OPS_INLINE void pack_codes(const T* weight, int64_t count, const Scale& scale, uint8_t* packed) {
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    int32_t codes[width];
    for (int j = 0; j < width; ++j) codes[j] = nearest_code(scale(to_float(weight[i + j])));
    for (int j = 0; j < width; j += 2) packed[(i + j) / 2] = static_cast<uint8_t>(codes[j] << 4 | codes[j + 1]);
  }
  for (; i < count; i += 2) {
    const int32_t low = i + 1 < count ? nearest_code(scale(to_float(weight[i + 1]))) : nf4::zero_code;
    packed[i / 2] = static_cast<uint8_t>(nearest_code(scale(to_float(weight[i]))) << 4 | low);
  }
}

template <class T>
TORCHAO_OPS_INLINE void quantize_block(const Nf4QuantizeArgs& args, int64_t block) {
  const int64_t begin = block * args.block_size;
  const bool full = args.count - begin >= args.block_size;
  const int64_t count = full ? args.block_size : args.count - begin;
  const T* weight = static_cast<const T*>(args.weight) + begin;
  uint8_t* packed = args.packed + begin / 2;
  const Range range = range_of(weight, count);
  const float absmax = -range.lo > range.hi ? -range.lo : range.hi;
  const float divisor = absmax < nf4::smallest_absmax ? nf4::smallest_absmax : absmax;
  if (!range.finite) {
    args.absmax[block] = float_from_bits(0x7fc00000u);
    for (int64_t i = 0; i < count / 2; ++i) packed[i] = 0xff;
    if (count % 2 != 0) packed[count / 2] = 0xf0 | nf4::zero_code;
  } else if (full) {
    args.absmax[block] = absmax;
    const float factor = 1.0f / divisor;
    pack_codes(
        weight, count, [&](float w) { return w * factor; }, packed);
  } else {
    args.absmax[block] = divisor;
    pack_codes(
        weight, count, [&](float w) { return w / divisor; }, packed);
  }
}

TORCHAO_OPS_INLINE Status quantize(const Nf4QuantizeArgs& args, const Parallel& parallel) {
  for_each_piece_of_rows(ceil_div(args.count, args.block_size), parallel, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t block = begin; block < end; ++block) {
      switch (args.type) {
        case FloatType::f32: quantize_block<float>(args, block); break;
        case FloatType::f16: quantize_block<Half>(args, block); break;
        case FloatType::bf16: quantize_block<BFloat16>(args, block); break;
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
