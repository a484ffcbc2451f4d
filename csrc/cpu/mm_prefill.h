// y = x @ w.T + bias for many rows of x, whatever the format of w: a tile of the weight is dequantized into the cache and then multiplied
// with all rows of x in a register-blocked loop. Arithmetic is the limit.
//
// The product is formed transposed: the elements of a dequantized weight row are broadcast, and a vector's lanes are rows of x. So the weight
// needs no interleaving; x is packed once per call (panels.h), and blocks of 8 x 8 results turn when they are stored. Every result is a
// sum over k in runs of prefill_sum_k, each in order: it depends neither on the other rows of x nor on the number of threads.
//
// Tile is the arithmetic (panels.h). Dequantizer gives numbers of the weight as Tile::Element, for rows and columns that are set in turn
// (dequantizer.h).
#pragma once

#include "csrc/cpu/panels.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

// k that a tile holds: long enough that dequantizing a row's piece does not cost more in set-up than in work, short enough that the tile (96 KiB
// of fp32) stays in a second-level cache of 256 KiB.
constexpr int64_t prefill_block_k = 256;
// k that are summed in order before they are added to the sum of what came before. Rounding errors grow with it; 128 keeps those of fp32 products
// below a dense fp32 product's, and a panel of x (8 KiB) in the first-level cache.
constexpr int64_t prefill_sum_k = 128;

template <class Tile, class Dequantizer, class Weight>
TORCHAO_OPS_INLINE Status mm_prefill(const MmArgs& args, const Weight& weight, const Parallel& parallel) {
  using V = typename Tile::Vector;
  using Element = typename Tile::Element;
  constexpr int64_t panel = panel_rows<V>, block_words = prefill_block_k / Tile::step;
  const int64_t N = weight.N, K = weight.K;
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  const Tiling tiling(args.M, N, panel, threads);
  const int64_t words = ceil_div(K, Tile::step);
  Scratch<float> packed(tiling.panels * words * panel);
  Scratch<typename Tile::Word> tiles(threads * tiling.tile_n * block_words);
  Scratch<float> all_sums(threads * tiling.panels_per_chunk * tiling.tile_n * panel);
  const int64_t scratch_size = Dequantizer::scratch_size(weight, tiling.tile_n);
  Scratch<float> scratch(threads * scratch_size);
  if (!all_allocated(packed, tiles, all_sums, scratch)) return Status::out_of_memory;

  for_each_piece(parallel, tiling.panels, [&](int64_t p, int64_t) {
    auto pack = [&](auto* x) {
      pack_panel<V, Tile::step>(
          x + p * panel * args.x_row_stride, args.x_row_stride, args.M - p * panel, K,
          [](auto* row) { return Tile::load_words(row); }, packed.get() + p * words * panel);
    };
    switch (args.x_type) {
      case FloatType::f32: pack(static_cast<const float*>(args.x)); break;
      case FloatType::f16: pack(static_cast<const Half*>(args.x)); break;
      case FloatType::bf16: pack(static_cast<const BFloat16*>(args.x)); break;
    }
  });

  float ones[panel];
  for (float& one : ones) one = 1.0f;
  for_each_piece(parallel, tiling.tiles * tiling.chunks, [&](int64_t piece, int64_t worker) {
    typename Tile::Word* tile = tiles.get() + worker * tiling.tile_n * block_words;
    float* sums = all_sums.get() + worker * tiling.panels_per_chunk * tiling.tile_n * panel;
    const int64_t n_begin = piece % tiling.tiles * tiling.tile_n;
    const int64_t columns = N - n_begin < tiling.tile_n ? N - n_begin : tiling.tile_n;
    const int64_t panel_begin = piece / tiling.tiles * tiling.panels_per_chunk;
    const int64_t panels =
        tiling.panels - panel_begin < tiling.panels_per_chunk ? tiling.panels - panel_begin : tiling.panels_per_chunk;
    Dequantizer dequantizer(weight, scratch.get() + worker * scratch_size);
    dequantizer.set_rows(n_begin, columns);
    for (int64_t k = 0; k < K || k == 0; k += prefill_block_k) {
      const int64_t count = K - k < prefill_block_k ? K - k : prefill_block_k;
      const int64_t block = ceil_div(count, Tile::step);
      dequantizer.set_columns(k, count);
      for (int64_t n = 0; n < columns; ++n) {
        Element* out = reinterpret_cast<Element*>(tile + n * block_words);
        dequantizer.dequantize(n, out);
        for (int64_t i = count; i < block * Tile::step; ++i) out[i] = Element{};
      }
      for (int64_t p = 0; p < panels; ++p) {
        const float* x = packed.get() + ((panel_begin + p) * words + k / Tile::step) * panel;
        for (int64_t word = 0; word < block || word == 0; word += prefill_sum_k / Tile::step) {
          const int64_t run = block - word < prefill_sum_k / Tile::step ? block - word : prefill_sum_k / Tile::step;
          multiply_panel<Tile>(tile + word, block_words, columns, x + word * panel, args.M - (panel_begin + p) * panel, run,
                               k + word == 0, sums + p * tiling.tile_n * panel);
        }
      }
    }
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t m = (panel_begin + p) * panel;
      store_panel(args, N, m, args.M - m < panel ? args.M - m : panel, n_begin, columns, sums + p * tiling.tile_n * panel, panel,
                  ones);
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
