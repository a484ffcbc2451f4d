// nf4_dequantize, for the file of each ISA. The flattened weight is one stretch, so rows do not matter.
#pragma once

#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_dequantize.h"

namespace torchao_ops {
namespace {

// Results that would fill half of a large cache or more are written past the caches, which then need not read the lines first: with 4096 x 4096
// elements on Zen 3 (32 MiB of cache, one busy core of two) 8.5 ms instead of 16.7 to fp32, 2.8 instead of 5.9 to bf16.
constexpr int64_t streaming_bytes = int64_t{1} << 24;

template <class V, class T, Stores stores>
TORCHAO_OPS_INLINE void dequantize_pieces(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  constexpr int64_t elements = 1 << 14;  // of a piece, or the block
  T* out = static_cast<T*>(args.out);
  const int64_t count = args.weight.N * args.weight.K;
  const int64_t piece_size = args.weight.group_size > elements ? args.weight.group_size : elements;
  for_each_piece(parallel, ceil_div(count, piece_size), [&](int64_t piece, int64_t) {
    const int64_t begin = piece * piece_size, end = count - begin < piece_size ? count : begin + piece_size;
    dequantize_stretch<V, T, stores>(args.weight, begin, end, out + begin);
    if (stores == Stores::streaming) _mm_sfence();
  });
}

template <class V, class T>
TORCHAO_OPS_INLINE void dequantize_to(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  const bool aligned = reinterpret_cast<uintptr_t>(args.out) % sizeof(typename V::Int) == 0;
  if (aligned && args.weight.N * args.weight.K * static_cast<int64_t>(sizeof(T)) >= streaming_bytes) {
    dequantize_pieces<V, T, Stores::streaming>(args, parallel);
  } else {
    dequantize_pieces<V, T, Stores::cached>(args, parallel);
  }
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
