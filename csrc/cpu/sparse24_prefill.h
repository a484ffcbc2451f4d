// Products of 2:4 sparse weights for many rows of x that skip the zeros: half of a dense product's multiply-adds. Arithmetic is the limit.
//
// As in mm_prefill.h the product is formed transposed: numbers of the weight are broadcast and a vector's lanes are rows of x. What a number of the
// weight is multiplied by is another place of the panel for each, so it is loaded for each: a vector load a multiply-add, which is what a core can do.
// Of each weight row in a tile, a list is made of its numbers and of where in the panel their x lies, once for all panels.
//
// Every result is a sum over k in runs of block_k, each in order: it depends neither on the other rows of x nor on the number of threads.
//
// The template parameter Tile is the arithmetic:
//   Vector, Sum
//   steps_per_quad     words of the list that a quad's two numbers make
//   words_per_quad     32-bit words of a row of x that a quad's four numbers make: themselves, or their six pairs
//   block_quads        quads of a list, a multiple of 8
//   max_vectors        of the rows of x in a panel, so that a block of it stays in the first-level cache
//   place(r, panel, out)     the words of two quads for eight rows of x, from r[k][row]; words lie `panel` apart
//   list(choices, values, scale, panel, words, places)   of block_quads quads; places in bytes. Whether it can treat these numbers
//   broadcast(word), dot(sum, x, word), add(sum, sum);  number(sum) as fp32
#pragma once

#include "csrc/cpu/panels.h"
#include "csrc/cpu/scratch.h"
#include "csrc/cpu/sparse24_activations.h"
#include "csrc/cpu/sparse24_mm.h"
#include "csrc/cpu/sparse24_rows.h"
#include "csrc/cpu/sparse24_values.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

// sums[row of the weight][row of x] (+)= the products of `steps` steps of lists that lie `steps` apart, for weight_rows of them.
template <class Tile, int weight_rows, int vectors>
TORCHAO_OPS_NOINLINE void lists_times_panel(const int32_t* words, const uint32_t* places, int64_t steps, const float* x,
                                            bool first, float* sums) {
  using V = typename Tile::Vector;
  constexpr int64_t panel = vectors * V::lanes;
  typename Tile::Sum s[weight_rows][vectors];
#pragma GCC unroll 4
  for (int r = 0; r < weight_rows; ++r)
#pragma GCC unroll 12
    for (int v = 0; v < vectors; ++v) s[r][v] = Tile::zero();
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 4
    for (int r = 0; r < weight_rows; ++r) {
      const auto word = Tile::broadcast(words[r * steps + i]);
      const float* at = reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + places[r * steps + i]);
#pragma GCC unroll 12
      for (int v = 0; v < vectors; ++v) s[r][v] = Tile::dot(s[r][v], at + v * V::lanes, word);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < weight_rows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < vectors; ++v) {
      float* out = sums + r * panel + v * V::lanes;
      Tile::store(out, first ? s[r][v] : Tile::add(s[r][v], Tile::load(out)));
    }
  }
}

template <class Tile, class Activations, class Stored>
class Sparse24Prefill {
  using V = typename Tile::Vector;
  using Row = CompletedRow<Stored>;
  static constexpr int64_t block_quads = Tile::block_quads, block_k = 4 * block_quads, block_values = block_k / 2;
  static constexpr int64_t steps = block_quads * Tile::steps_per_quad, block_words = block_quads * Tile::words_per_quad;
  // Of a tile: x is read anew for each, and its lists (32 steps of 192 rows are 48 KiB) and sums stay in the second-level cache.
  static constexpr int64_t max_tile_n = 2 * Tiling::max_tile_n;
  static constexpr int64_t max_panels = 3;  // of which a worker keeps a tile's sums: 192 * 3 panels of 96 rows are 216 KiB

 public:
  TORCHAO_OPS_INLINE Sparse24Prefill(const Sparse24MmArgs& args, const Parallel& parallel)
      : args_(args),
        mm_(args.mm),
        w_(args.weight),
        vectors_(vectors_for(mm_.M)),
        panel_(vectors_ * V::lanes),
        full_blocks_(w_.K / block_k),
        blocks_(ceil_div(w_.K, block_k)),
        padded_k_(blocks_ * block_k),
        threads_(parallel.threads < 1 ? 1 : parallel.threads),
        tiling_(mm_.M, w_.N, panel_, threads_, max_panels * panel_, max_tile_n),
        x_(tiling_.panels * blocks_ * block_words * panel_),
        x_scale_(tiling_.panels * panel_),
        x_rows_(threads_ * 8 * row_stride()),
        choices_(threads_ * tiling_.tile_n * padded_k_ / 8),
        values_(threads_ * tiling_.tile_n * padded_k_ / 2),
        words_(threads_ * tiling_.tile_n * steps),
        places_(threads_ * tiling_.tile_n * steps),
        sums_(threads_ * tiling_.panels_per_chunk * tiling_.tile_n * panel_) {}

  TORCHAO_OPS_INLINE Status run(const Parallel& parallel) {
    if (!all_allocated(x_, x_scale_, x_rows_, choices_, values_, words_, places_, sums_)) return Status::out_of_memory;
    const int64_t stripes = panel_ / 8;
    for_each_piece(parallel, tiling_.panels * stripes,
                   [&](int64_t piece, int64_t worker) { prepare_stripe(piece / stripes, piece % stripes * 8, worker); });
    for_each_piece(parallel, tiling_.tiles * tiling_.chunks,
                   [&](int64_t piece, int64_t worker) { multiply(piece % tiling_.tiles, piece / tiling_.tiles, worker); });
    if (args_.violation != nullptr) *args_.violation = violation_.or_none();
    return Status::ok;
  }

 private:
  // Panels of equal size, as few as there can be.
  TORCHAO_OPS_INLINE static int64_t vectors_for(int64_t M) {
    const int64_t panels = ceil_div(M, Tile::max_vectors * V::lanes);
    return panels == 0 ? 1 : ceil_div(ceil_div(M, panels), V::lanes);
  }
  // Rows of x that are packed together do not begin at the same place of each page.
  TORCHAO_OPS_INLINE int64_t row_stride() const { return padded_k_ + 16; }

  // Eight rows of x, from row `first` of panel p on.
  TORCHAO_OPS_INLINE void prepare_stripe(int64_t p, int64_t first, int64_t worker) {
    float* rows = x_rows_.get() + worker * 8 * row_stride();
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t m = p * panel_ + first + i;
      float* row = rows + i * row_stride();
      const int64_t count = m < mm_.M ? w_.K : 0;
      if (m < mm_.M) convert<V>(mm_.x, mm_.x_type, m * mm_.x_row_stride, w_.K, row);
      for (int64_t k = count; k < padded_k_; ++k) row[k] = 0;
      x_scale_.get()[m] = Activations::template prepare<V>(row, count);
    }
    float* out = x_.get() + p * blocks_ * block_words * panel_ + first;
    for (int64_t k = 0; k < padded_k_; k += 8) {
      Avx2::Float r[8];
      for (int64_t i = 0; i < 8; ++i) r[i] = Avx2::load(rows + i * row_stride() + k);
      Avx2::transpose(r);
      Tile::place(r, panel_, out + k / 4 * Tile::words_per_quad * panel_);
    }
  }

  using Multiply = void (*)(const int32_t*, const uint32_t*, int64_t, const float*, bool, float*);
  // As many sums as the registers hold beside a broadcast word, or enough to hide the latency of adding to one.
  static constexpr int weight_rows_for(int vectors) {
    return vectors * 4 <= Tile::max_sums && vectors <= 2 ? 4 : vectors * 2 <= Tile::max_sums ? 2 : 1;
  }
  template <int vectors = 1>
  TORCHAO_OPS_INLINE static Multiply multiply_for(int64_t wanted, int64_t* weight_rows) {
    if constexpr (vectors < Tile::max_vectors) {
      if (wanted != vectors) return multiply_for<vectors + 1>(wanted, weight_rows);
    }
    *weight_rows = weight_rows_for(vectors);
    return lists_times_panel<Tile, weight_rows_for(vectors), vectors>;
  }

  TORCHAO_OPS_INLINE void multiply(int64_t t, int64_t c, int64_t worker) {
    const int64_t n_begin = t * tiling_.tile_n;
    const int64_t columns = w_.N - n_begin < tiling_.tile_n ? w_.N - n_begin : tiling_.tile_n;
    const int64_t panel_begin = c * tiling_.panels_per_chunk;
    const int64_t panels =
        tiling_.panels - panel_begin < tiling_.panels_per_chunk ? tiling_.panels - panel_begin : tiling_.panels_per_chunk;
    float* sums = sums_.get() + worker * tiling_.panels_per_chunk * tiling_.tile_n * panel_;
    int32_t* words = words_.get() + worker * tiling_.tile_n * steps;
    uint32_t* places = places_.get() + worker * tiling_.tile_n * steps;
    int64_t weight_rows;
    const Multiply multiply_rows = multiply_for(vectors_, &weight_rows);

    Row rows[max_tile_n];
    for (int64_t n = 0; n < columns; ++n) {
      const int64_t slot = worker * tiling_.tile_n + n;
      rows[n] = complete_row<Marks::choices>(w_, n_begin + n, block_k, choices_.get() + slot * padded_k_ / 8,
                                             values_.get() + slot * padded_k_ / 2, &violation_);
    }
    // Rows that complete a register block: their sums are not used.
    for (int64_t i = columns * steps; i < ceil_div(columns, weight_rows) * weight_rows * steps; ++i) words[i] = 0, places[i] = 0;
    for (int64_t i = 0; w_.K == 0 && i < panels * tiling_.tile_n * panel_; ++i) sums[i] = 0;
    for (int64_t b = 0; b < blocks_; ++b) {
      for (int64_t n = 0; n < columns; ++n) {
        const Stored* values = rows[n].chunk(b, full_blocks_, block_values);
        for (int64_t i = 0; i < block_values; i += 64 / int64_t{sizeof(Stored)}) __builtin_prefetch(values + block_values + i);
        const bool usable = Tile::list(rows[n].marks + b * block_k / 8, values, Activations::quantizes ? 1.0f : rows[n].scale,
                                       panel_, words + n * steps, places + n * steps);
        rows[n].usable = rows[n].usable && usable;
      }
      for (int64_t p = 0; p < panels; ++p) {
        const float* x = x_.get() + ((panel_begin + p) * blocks_ + b) * block_words * panel_;
        float* panel_sums = sums + p * tiling_.tile_n * panel_;
        for (int64_t n = 0; n < columns; n += weight_rows) {
          multiply_rows(words + n * steps, places + n * steps, steps, x, b == 0, panel_sums + n * panel_);
        }
      }
    }

    for (int64_t p = 0; p < panels; ++p) {
      const int64_t m_begin = (panel_begin + p) * panel_, m_end = mm_.M - m_begin < panel_ ? mm_.M : m_begin + panel_;
      float* panel_sums = sums + p * tiling_.tile_n * panel_;
      for (int64_t n = 0; Activations::quantizes && n < columns; ++n) {
        for (int64_t i = n * panel_; i < (n + 1) * panel_; i += V::lanes) {
          V::store(panel_sums + i, V::mul(Tile::number(Tile::load(panel_sums + i)), V::set(rows[n].scale)));
        }
      }
      store_panel(mm_, w_.N, m_begin, m_end - m_begin, n_begin, columns, panel_sums, panel_, x_scale_.get() + m_begin);
      for (int64_t m = m_begin; m < m_end; ++m) {
        if (!is_finite(x_scale_.get()[m])) mm_scalar_row(args_, m, n_begin, n_begin + columns);
      }
      for (int64_t n = 0; n < columns; ++n) {
        for (int64_t m = m_begin; !rows[n].usable && m < m_end; ++m) mm_scalar_row(args_, m, n_begin + n, n_begin + n + 1);
      }
    }
  }

  const Sparse24MmArgs& args_;
  const MmArgs& mm_;
  const sparse24::Weight& w_;
  const int64_t vectors_, panel_, full_blocks_, blocks_, padded_k_, threads_;
  const Tiling tiling_;
  Scratch<float> x_;  // words: [panels, blocks, block_words, panel]
  Scratch<float> x_scale_;
  Scratch<float> x_rows_;     // [threads, 8, row_stride]
  Scratch<uint8_t> choices_;  // [threads, tile_n, padded_k / 8]
  Scratch<Stored> values_;    // [threads, tile_n, padded_k / 2], see complete_row
  Scratch<int32_t> words_;    // [threads, tile_n, steps]
  Scratch<uint32_t> places_;  // [threads, tile_n, steps]
  Scratch<float> sums_;       // [threads, panels of a chunk, tile_n, panel], of integers as such
  Smallest violation_;
};

template <class Tile, class Activations, class Stored>
TORCHAO_OPS_INLINE Status sparse24_prefill(const Sparse24MmArgs& args, const Parallel& parallel) {
  return Sparse24Prefill<Tile, Activations, Stored>(args, parallel).run(parallel);
}

}  // namespace
}  // namespace torchao_ops
