// y = x @ w.T + bias for many rows of x, whatever the format of w: a tile of the weight is dequantized into the cache and then multiplied
// with all rows of x in a register-blocked loop. Arithmetic is the limit.
//
// The product is formed transposed: the elements of a dequantized weight row are broadcast, and a vector's lanes are rows of x. So the weight
// needs no interleaving; x is packed once per call (panels.h), and blocks of 8 x 8 results turn when they are stored. Every result is a
// sum over k in blocks of block_k, each in order: it depends neither on the other rows of x nor on the number of threads.
//
// Tile is the arithmetic (panels.h). Columns(weight, k, count) stands for columns [k, k + count) of the weight; its dequantize(n, out) gives
// those of row n as Tile::Element.
#pragma once

#include "csrc/cpu/panels.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

// k that a tile holds. In a block, the sums of fp32 products are formed in order, so that a longer one has larger rounding errors (128 keeps
// them below a dense fp32 product's); it also has a panel of x (8 KiB of fp32) in the first-level cache and a tile (48 KiB) in the second.
constexpr int64_t prefill_block_k = 128;

template <class Tile, class Columns, class Weight>
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
  if (!all_allocated(packed, tiles, all_sums)) return Status::out_of_memory;

  for_each_piece(parallel, tiling.panels, [&](int64_t p, int64_t) {
    auto pack = [&](auto* x) {
      pack_panel<V, Tile::step>(x + p * panel * args.x_row_stride, args.x_row_stride, args.M - p * panel, K,
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
    const int64_t panels = tiling.panels - panel_begin < tiling.panels_per_chunk ? tiling.panels - panel_begin : tiling.panels_per_chunk;
    for (int64_t k = 0; k < K || k == 0; k += prefill_block_k) {
      const int64_t count = K - k < prefill_block_k ? K - k : prefill_block_k;
      const int64_t block = ceil_div(count, Tile::step);
      const Columns dequantizer(weight, k, count);
      for (int64_t n = 0; n < columns; ++n) {
        Element* out = reinterpret_cast<Element*>(tile + n * block_words);
        dequantizer.dequantize(n_begin + n, out);
        for (int64_t i = count; i < block * Tile::step; ++i) out[i] = Element{};
      }
      for (int64_t p = 0; p < panels; ++p) {
        multiply_panel<Tile>(tile, block_words, columns, packed.get() + ((panel_begin + p) * words + k / Tile::step) * panel,
                             args.M - (panel_begin + p) * panel, block, k == 0, sums + p * tiling.tile_n * panel);
      }
    }
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t m = (panel_begin + p) * panel;
      store_panel<V>(args, N, m, args.M - m < panel ? args.M - m : panel, n_begin, columns, sums + p * tiling.tile_n * panel, ones);
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
