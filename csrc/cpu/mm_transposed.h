// y = x @ w, the product with the transposed weight, which gradients are made of: y[m, k] = sum_n x[m, n] * w[n, k]. Tiles of the weight are
// dequantized into the cache, as in mm_prefill; here the numbers of a weight row are the lanes of vectors, and those of x are broadcast.
//
// Dequantizer as in mm_prefill; it comes to the same columns of the next prefill_sum_k rows next.
//
// Every result is a sum over n in runs of prefill_sum_k, each in order: it depends neither on the other rows of x nor on the number of threads.
#pragma once

#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/panels.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

// x is cut into runs, and each run into as many rows: [run][m][n]. Fp32, with nothing beyond the last n of a row.
template <class V>
TORCHAO_OPS_INLINE void pack_run(const MmArgs& args, int64_t n, int64_t count, float* out) {
  for (int64_t m = 0; m < args.M; ++m) convert<V>(args.x, args.x_type, m * args.x_row_stride + n, count, out + m * prefill_sum_k);
}

// Rows [0, count) of sums, in blocks of as many as there are registers for.
template <class Tile>
TORCHAO_OPS_INLINE void multiply_rows(const float* x, int64_t count, const float* panel, int64_t words, bool first, float* sums) {
  using V = typename Tile::Vector;
  int64_t m = 0;
  auto block = [&](auto rows, auto multiply) {
    for (; m + rows <= count; m += rows)
      multiply(x + m * prefill_sum_k, prefill_sum_k, panel, words, first, sums + m * panel_rows<V>);
  };
  block(block_rows<V>, tile_times_panel<Tile, block_rows<V>, 2>);
  block(4, tile_times_panel<Tile, 4, 2>);
  block(2, tile_times_panel<Tile, 2, 2>);
  block(1, tile_times_panel<Tile, 1, 2>);
}

template <class V, class Dequantizer, class Weight>
TORCHAO_OPS_INLINE Status mm_transposed(const MmArgs& args, const Weight& weight, const Parallel& parallel) {
  using Tile = Fp32Tile<V>;
  constexpr int64_t panel = panel_rows<V>, sum_n = prefill_sum_k, max_block_k = 128;
  const int64_t N = weight.N, K = weight.K, M = args.M;
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  const int64_t chunk_m = M < Tiling::chunk_m ? M : Tiling::chunk_m, chunks = M == 0 ? 0 : ceil_div(M, chunk_m);
  const int64_t runs = ceil_div(N, sum_n);
  int64_t block_k = max_block_k;
  while (block_k > panel && ceil_div(K, block_k) * chunks < 4 * threads) block_k /= 2;

  Scratch<float> packed(runs * M * sum_n);
  Scratch<float> rows(threads * block_k), tiles(threads * sum_n * block_k), all_sums(threads * chunk_m * block_k);
  const int64_t scratch_size = Dequantizer::scratch_size(weight, sum_n);
  Scratch<float> scratch(threads * scratch_size);
  if (!all_allocated(packed, rows, tiles, all_sums, scratch)) return Status::out_of_memory;
  for_each_piece(parallel, runs, [&](int64_t run, int64_t) {
    pack_run<V>(args, run * sum_n, N - run * sum_n < sum_n ? N - run * sum_n : sum_n, packed.get() + run * M * sum_n);
  });

  for_each_piece(parallel, ceil_div(K, block_k) * chunks, [&](int64_t piece, int64_t worker) {
    float* row = rows.get() + worker * block_k;
    float* tile = tiles.get() + worker * sum_n * block_k;
    float* sums = all_sums.get() + worker * chunk_m * block_k;
    const int64_t m_begin = piece % chunks * chunk_m, m_count = M - m_begin < chunk_m ? M - m_begin : chunk_m;
    const int64_t k_begin = piece / chunks * block_k, columns = K - k_begin < block_k ? K - k_begin : block_k;
    const int64_t panels = ceil_div(columns, panel);
    Dequantizer dequantizer(weight, scratch.get() + worker * scratch_size);
    for (int64_t i = columns; i < panels * panel; ++i) row[i] = 0;
    for (int64_t n = 0; n < N || n == 0; n += sum_n) {
      const int64_t count = N - n < sum_n ? N - n : sum_n;
      dequantizer.set_rows(n, count);
      dequantizer.set_columns(k_begin, columns);
      for (int64_t i = 0; i < count; ++i) {
        dequantizer.dequantize(i, row);
        for (int64_t p = 0; p < panels; ++p) {
          float* out = tile + (p * sum_n + i) * panel;
          V::store(out, V::load(row + p * panel));
          V::store(out + V::lanes, V::load(row + p * panel + V::lanes));
        }
      }
      const float* x = packed.get() + (n / sum_n * M + m_begin) * sum_n;
      for (int64_t p = 0; p < panels; ++p) {
        multiply_rows<Tile>(x, m_count, tile + p * sum_n * panel, count, n == 0, sums + p * chunk_m * panel);
      }
    }
    for (int64_t m = 0; m < m_count; ++m) {
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t k = k_begin + p * panel, left = K - k < panel ? K - k : panel;
        store_numbers<V>(sums + (p * chunk_m + m) * panel, left, args.y, args.x_type, (m_begin + m) * K + k);
      }
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
