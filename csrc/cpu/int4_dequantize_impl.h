// int4_dequantize in vectors, for the file of each ISA.
#pragma once

#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/int4_dequantizer.h"

namespace torchao_ops {
namespace {

template <class V>
TORCHAO_OPS_INLINE Status int4_dequantize_rows(const Int4DequantizeArgs& args, const Parallel& parallel) {
  const int64_t N = args.weight.N, K = args.weight.K;
  const Int4Columns<V> columns(args.weight, 0, K);
  constexpr int64_t piece_rows = 16;
  for_each_piece(parallel, ceil_div(N, piece_rows), [&](int64_t piece, int64_t) {
    const int64_t end = N - piece * piece_rows < piece_rows ? N : (piece + 1) * piece_rows;
    for (int64_t n = piece * piece_rows; n < end; ++n) {
      switch (args.out_type) {
        case FloatType::f32: columns.dequantize(n, static_cast<float*>(args.out) + n * K); break;
        case FloatType::f16: columns.dequantize(n, static_cast<Half*>(args.out) + n * K); break;
        case FloatType::bf16: columns.dequantize(n, static_cast<BFloat16*>(args.out) + n * K); break;
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
