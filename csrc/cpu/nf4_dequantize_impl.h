// nf4_dequantize, for the file of each ISA. The flattened weight is one stretch, so rows do not matter.
#pragma once

#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_dequantize.h"

namespace torchao_ops {
namespace {

template <class V, class T>
TORCHAO_OPS_INLINE void dequantize_to(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  constexpr int64_t elements = 1 << 14;  // of a piece, or the block
  T* out = static_cast<T*>(args.out);
  const int64_t count = args.weight.N * args.weight.K;
  const int64_t piece_size = args.weight.group_size > elements ? args.weight.group_size : elements;
  for_each_piece(parallel, ceil_div(count, piece_size), [&](int64_t piece, int64_t) {
    const int64_t begin = piece * piece_size, end = count - begin < piece_size ? count : begin + piece_size;
    dequantize_stretch<V>(args.weight, begin, end, out + begin);
  });
}

template <class V>
TORCHAO_OPS_INLINE Status dequantize_nf4(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  switch (args.out_type) {
    case FloatType::f32: dequantize_to<V, float>(args, parallel); break;
    case FloatType::f16: dequantize_to<V, Half>(args, parallel); break;
    case FloatType::bf16: dequantize_to<V, BFloat16>(args, parallel); break;
  }
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
