// A whole weight as floating-point numbers, in vectors, for the file of each operator and ISA.
#pragma once

#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

template <class V, class Weight>
TORCHAO_OPS_INLINE Status dequantize_rows(const Weight& weight, void* out, FloatType out_type, const Parallel& parallel) {
  using RowsOfWeight = Dequantizer<V, Weight>;
  constexpr int64_t piece_rows = 16;
  const int64_t N = weight.N, K = weight.K;
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  const int64_t scratch_size = RowsOfWeight::scratch_size(weight, piece_rows);
  Scratch<float> scratch(threads * scratch_size);
  if (!all_allocated(scratch)) return Status::out_of_memory;
  for_each_piece(parallel, ceil_div(N, piece_rows), [&](int64_t piece, int64_t worker) {
    const int64_t n_begin = piece * piece_rows, rows = N - n_begin < piece_rows ? N - n_begin : piece_rows;
    RowsOfWeight dequantizer(weight, scratch.get() + worker * scratch_size);
    dequantizer.set_rows(n_begin, rows);
    dequantizer.set_columns(0, K);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t at = (n_begin + row) * K;
      switch (out_type) {
        case FloatType::f32: dequantizer.dequantize(row, static_cast<float*>(out) + at); break;
        case FloatType::f16: dequantizer.dequantize(row, static_cast<Half*>(out) + at); break;
        case FloatType::bf16: dequantizer.dequantize(row, static_cast<BFloat16*>(out) + at); break;
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
