// Products for many rows of x that are quantized to int8, whatever the format of w: integer products of codes with activations, group by group.
//
//   y[m, n] = x_scale[m] * sum over runs of scale[n, g] * (sum_{k in run} q[m, k] * code[n, k]  -  zero_point[n, g] * Q[m, run]) + bias[n]
//
// with q the quantized x, a run some consecutive k of a group g, and Q[m, run] the sum of q over it. As in mm_prefill.h the weight's words, some
// codes each, are broadcast and a vector's lanes are rows of x. Groups are padded to whole words, so any group size works. The sums of a
// run are exact integers, so codes equal to the zero point give exact zeros.
//
// Dot is the format's and the ISA's integer product:
//   Args, Vector
//   Code, Activation  element of a word of the weight and of x;  step: elements in a word
//   unpack(p, count, out)     the codes at p, count of them from a whole byte on, as words; code_of(code) one of them
//   Sum, start(Q), dot(sum, x, w) of words, finish(sum, Q, zero_point);  max_words a Sum can take
//   uses_run_sums     whether start and finish want Q
//   exact_k           rows of at most so many k, if they are one group, keep one sum from the first word to the last, which is exact; 0: no
//   block_rows        of a register block, for two vectors of x
#pragma once

#include "csrc/cpu/panels.h"
#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/scales.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

template <class Dot>
class DynamicPrefill {
  using V = typename Dot::Vector;
  using Float = typename V::Float;
  using Args = typename Dot::Args;
  using Weight = decltype(Args::weight);
  using Code = typename Dot::Code;
  using Activation = typename Dot::Activation;
  static constexpr int64_t panel = panel_rows<V>;
  static constexpr int64_t block_words = 64;  // of a tile: 96 rows are 24 KiB
  static constexpr int64_t step = Dot::step;

 public:
  TORCHAO_OPS_INLINE DynamicPrefill(const Args& args, const Parallel& parallel)
      : args_(args.mm),
        all_args_(args),
        w_(args.weight),
        group_k_(w_.group_size < w_.K ? w_.group_size : w_.K),
        G_(group_count(w_.K, w_.group_size)),
        group_words_(ceil_div(group_k_, step)),
        words_(G_ == 0 ? 0 : (G_ - 1) * group_words_ + ceil_div(w_.K - (G_ - 1) * group_k_, step)),
        exact_(G_ == 1 && w_.K <= Dot::exact_k),
        threads_(parallel.threads < 1 ? 1 : parallel.threads),
        tiling_(args_.M, w_.N, panel, threads_),
        x_(tiling_.panels * words_ * panel),
        x_scale_(tiling_.panels * panel),
        runs_(count_runs(0, words_)),
        run_sums_(Dot::uses_run_sums ? tiling_.panels * runs_ * panel : 0),
        row_size_(w_.K + V::lanes),
        rows_(threads_ * row_size_),
        row_sums_(threads_ * panel * runs_),
        row_q_(threads_ * panel * words_ * step),
        tiles_(threads_ * tiling_.tile_n * block_words),
        scales_(threads_ * tiling_.tile_n * G_),
        zero_points_(Weight::has_zero_points ? threads_ * tiling_.tile_n * G_ : 0),
        sums_(threads_ * tiling_.panels_per_chunk * tiling_.tile_n * panel) {}

  TORCHAO_OPS_INLINE Status run(const Parallel& parallel) {
    if (!all_allocated(x_, x_scale_, run_sums_, rows_, row_sums_, row_q_, tiles_, scales_, zero_points_, sums_)) {
      return Status::out_of_memory;
    }
    for_each_piece(parallel, tiling_.panels, [&](int64_t p, int64_t worker) { prepare_panel(p, worker); });
    for_each_piece(parallel, tiling_.tiles * tiling_.chunks,
                   [&](int64_t piece, int64_t worker) { multiply(piece % tiling_.tiles, piece / tiling_.tiles, worker); });
    return Status::ok;
  }

 private:
  // Quantizes the rows of panel p, sums their runs, and packs both.
  TORCHAO_OPS_INLINE void prepare_panel(int64_t p, int64_t worker) {
    float* row = rows_.get() + worker * row_size_;
    float* sums = row_sums_.get() + worker * panel * runs_;
    Activation* q = row_q_.get() + worker * panel * words_ * step;
    const int64_t rows = args_.M - p * panel < panel ? args_.M - p * panel : panel;
    for (int64_t m = 0; m < rows; ++m) {
      convert<V>(args_.x, args_.x_type, (p * panel + m) * args_.x_row_stride, w_.K, row);
      for (int64_t k = w_.K; k < row_size_; ++k) row[k] = 0;
      x_scale_.get()[p * panel + m] = quantize_row<V>(row, w_.K);
      Activation* out = q + m * words_ * step;
      for (int64_t g = 0; g < G_; ++g) {
        const int64_t begin = g * group_k_, end = g + 1 == G_ ? w_.K : begin + group_k_;
        int64_t k = begin;
        for (; k < end; ++k) *out++ = static_cast<Activation>(static_cast<int32_t>(row[k]));
        for (; (k - begin) % step != 0; ++k) *out++ = 0;
      }
      float* run_sum = sums + m * runs_;
      for (int64_t word = 0; Dot::uses_run_sums && word < words_;) {
        const int64_t end = run_end(word);
        int32_t sum = 0;
        for (int64_t i = word * step; i < end * step; ++i) sum += q[m * words_ * step + i];
        *run_sum++ = static_cast<float>(sum);
        word = end;
      }
    }
    for (int64_t m = rows; m < panel; ++m) x_scale_.get()[p * panel + m] = 0;
    pack_panel<V, step>(
        q, words_ * step, rows, words_ * step, [](auto* words) { return Avx2::load_words(words); },
        x_.get() + p * words_ * panel);
    if constexpr (Dot::uses_run_sums) {
      pack_panel<V, 1>(
          sums, runs_, rows, runs_, [](auto* words) { return Avx2::load(words); }, run_sums_.get() + p * runs_ * panel);
    }
  }

  TORCHAO_OPS_INLINE void multiply(int64_t t, int64_t c, int64_t worker) {
    float* scales = scales_.get() + worker * tiling_.tile_n * G_;
    float* zero_points = zero_points_.get() + worker * tiling_.tile_n * G_;
    int32_t* tile = tiles_.get() + worker * tiling_.tile_n * block_words;
    float* sums = sums_.get() + worker * tiling_.panels_per_chunk * tiling_.tile_n * panel;
    const int64_t n_begin = t * tiling_.tile_n;
    const int64_t columns = w_.N - n_begin < tiling_.tile_n ? w_.N - n_begin : tiling_.tile_n;
    const int64_t panel_begin = c * tiling_.panels_per_chunk;
    const int64_t panels =
        tiling_.panels - panel_begin < tiling_.panels_per_chunk ? tiling_.panels - panel_begin : tiling_.panels_per_chunk;

    bool finite[Tiling::max_tile_n];
    for (int64_t n = 0; n < columns; ++n) finite[n] = expand_scales(n_begin + n, scales + n * G_, zero_points + n * G_);
    for (int64_t i = 0; i < panels * tiling_.tile_n * panel; i += V::lanes) V::store(sums + i, V::zero());
    int64_t run = 0;
    for (int64_t word = 0; word < words_; word += block_words) {
      const int64_t count = words_ - word < block_words ? words_ - word : block_words;
      for (int64_t n = 0; n < columns; ++n) unpack(n_begin + n, word, count, tile + n * block_words);
      for (int64_t p = 0; p < panels; ++p) {
        const float* x = x_.get() + ((panel_begin + p) * words_ + word) * panel;
        const float* Q = run_sums_.get() + ((panel_begin + p) * runs_ + run) * panel;
        float* s = sums + p * tiling_.tile_n * panel;
        const bool narrow = args_.M - (panel_begin + p) * panel <= V::lanes;
        const int64_t block_rows = narrow ? 2 * Dot::block_rows : Dot::block_rows;
        for (int64_t n = 0; n < columns; n += block_rows) {
          const int32_t* words = tile + n * block_words;
          if (exact_) {
            if (narrow) {
              exact_block<2 * Dot::block_rows, 1>(words, x, count, Q, s + n * panel);
            } else {
              exact_block<Dot::block_rows, 2>(words, x, count, Q, s + n * panel);
            }
          } else {
            if (narrow) {
              block<2 * Dot::block_rows, 1>(words, x, word, count, scales + n * G_, zero_points + n * G_, Q, s + n * panel);
            } else {
              block<Dot::block_rows, 2>(words, x, word, count, scales + n * G_, zero_points + n * G_, Q, s + n * panel);
            }
          }
        }
      }
      run += count_runs(word, word + count);
    }
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t m = (panel_begin + p) * panel;
      const int64_t rows = args_.M - m < panel ? args_.M - m : panel;
      if (exact_) scale_exact_sums(sums + p * tiling_.tile_n * panel, columns, scales);
      store_panel(args_, w_.N, m, rows, n_begin, columns, sums + p * tiling_.tile_n * panel, panel, x_scale_.get() + m);
      for (int64_t i = m; i < m + rows; ++i) {
        if (!is_finite(x_scale_.get()[i])) mm_scalar_row(all_args_, i, n_begin, n_begin + columns);
      }
      for (int64_t n = 0; n < columns; ++n) {
        if (finite[n]) continue;
        for (int64_t i = m; i < m + rows; ++i) mm_scalar_row(all_args_, i, n_begin + n, n_begin + n + 1);
      }
    }
  }

  // scale[G] and zero_point[G] of row n as fp32. Returns whether all are finite.
  TORCHAO_OPS_INLINE bool expand_scales(int64_t n, float* scale, float* zero_point) const {
    torchao_ops::expand_scales<V>(w_, n, scale, zero_point);
    bool finite = true;
    for (int64_t g = 0; g < G_; ++g) {
      finite = finite && is_finite(scale[g]) && (!Weight::has_zero_points || is_finite(zero_point[g]));
    }
    return finite;
  }

  // Words [word, word + count) of row n.
  TORCHAO_OPS_INLINE void unpack(int64_t n, int64_t word, int64_t count, int32_t* out) const {
    Code* codes = reinterpret_cast<Code*>(out);
    if (group_k_ % step == 0 || G_ == 1) {  // no padding but at the end
      const int64_t k = word * step;
      const int64_t k_end = k + count * step < w_.K ? k + count * step : w_.K;
      const uint8_t* packed = w_.row(n) + k / Weight::codes_per_byte;
      // The codes that follow, for the next tile: see Dequantizer::prefetch_next.
      const int64_t bytes = count * step / Weight::codes_per_byte;
      for (int64_t byte = bytes; byte < 2 * bytes; byte += 64) __builtin_prefetch(packed + byte);
      Dot::unpack(packed, k_end - k, codes);
      for (int64_t i = k_end - k; i < count * step; ++i) codes[i] = 0;
      return;
    }
    for (int64_t i = word; i < word + count; ++i) {
      const int64_t group = i / group_words_;
      for (int64_t j = 0; j < step; ++j) {
        const int64_t in_group = i % group_words_ * step + j;
        const int64_t k = group * group_k_ + in_group;
        *codes++ = in_group < group_k_ && k < w_.K ? Dot::code_of(w_.code(n, k)) : Code{0};
      }
    }
  }

  // A run of words lies in one group and in one block, and is no longer than a Sum can take. The run that begins at `word` ends at:
  TORCHAO_OPS_INLINE int64_t run_end(int64_t word) const {
    int64_t end = (word / group_words_ + 1) * group_words_;
    const int64_t block_end = (word / block_words + 1) * block_words;
    end = end < block_end ? end : block_end;
    end = end < word + Dot::max_words ? end : word + Dot::max_words;
    return end < words_ ? end : words_;
  }
  TORCHAO_OPS_INLINE int64_t count_runs(int64_t begin, int64_t end) const {
    int64_t runs = 0;
    for (int64_t word = begin; word < end; word = run_end(word)) ++runs;
    return runs;
  }

  // sum[n][v] += tile[n] * x over `count` words: a register block.
  template <int block_rows, int vectors>
  TORCHAO_OPS_INLINE static void add_products(const int32_t* tile, const float* x, int64_t count,
                                              typename Dot::Sum (&s)[block_rows][vectors]) {
    for (int64_t i = 0; i < count; ++i) {
      typename V::Int xs[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) xs[v] = V::load_bits(x + i * panel + v * V::lanes);
#pragma GCC unroll 24
      for (int n = 0; n < block_rows; ++n) {
        const typename V::Int w = V::set_bits(tile[n * block_words + i]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) s[n][v] = Dot::dot(s[n][v], xs[v], w);
      }
    }
  }

  TORCHAO_OPS_INLINE static Float run_sum_of(const float* Q, int v) {
    return Dot::uses_run_sums ? V::load(Q + v * V::lanes) : V::zero();
  }

  // sums[n][row], as int32, += products of tile[n] with x over the words of a block, which are one run.
  template <int block_rows, int vectors>
  TORCHAO_OPS_NOINLINE static void exact_block(const int32_t* tile, const float* x, int64_t count, const float* Q, float* sums) {
    typename Dot::Sum s[block_rows][vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const typename Dot::Sum start = Dot::start(run_sum_of(Q, v));
#pragma GCC unroll 24
      for (int n = 0; n < block_rows; ++n) s[n][v] = V::add_ints(start, V::load_bits(sums + n * panel + v * V::lanes));
    }
    add_products<block_rows, vectors>(tile, x, count, s);
#pragma GCC unroll 24
    for (int n = 0; n < block_rows; ++n)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) V::store_bits(sums + n * panel + v * V::lanes, s[n][v]);
  }

  // Makes exact_block's sums numbers, in place.
  TORCHAO_OPS_INLINE static void scale_exact_sums(float* sums, int64_t columns, const float* scales) {
    for (int64_t n = 0; n < columns; ++n) {
      for (int64_t i = n * panel; i < (n + 1) * panel; i += V::lanes) {
        V::store(sums + i, V::mul(V::from_int(V::load_bits(sums + i)), V::set(scales[n])));
      }
    }
  }

  // sums[n][row] += scale[n, g] * (products of tile[n] with x - zero_point[n, g] * Q[run][row]) over the runs of a block that begins at `word`.
  // scales and zero_points have a row of G for each n.
  template <int block_rows, int vectors>
  TORCHAO_OPS_NOINLINE void block(const int32_t* tile, const float* x, int64_t word, int64_t count, const float* scales,
                                  const float* zero_points, const float* Q, float* sums) const {
    const int64_t G = G_, block_end = word + count;
    for (const int64_t block_begin = word; word < block_end; Q += panel) {
      const int64_t group = word / group_words_;
      const int64_t end = run_end(word) - block_begin;
      const int64_t begin = word - block_begin;
      typename Dot::Sum s[block_rows][vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        const typename Dot::Sum start = Dot::start(run_sum_of(Q, v));
#pragma GCC unroll 24
        for (int n = 0; n < block_rows; ++n) s[n][v] = start;
      }
      add_products<block_rows, vectors>(tile + begin, x + begin * panel, end - begin, s);
#pragma GCC unroll 24
      for (int n = 0; n < block_rows; ++n) {
        const Float scale = V::set(scales[n * G + group]);
        const Float zero_point = Weight::has_zero_points ? V::set(zero_points[n * G + group]) : V::zero();
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) {
          float* out = sums + n * panel + v * V::lanes;
          const Float products = Dot::finish(s[n][v], run_sum_of(Q, v), zero_point);
          V::store(out, V::fma(scale, products, V::load(out)));
        }
      }
      word = block_begin + end;
    }
  }

  const MmArgs& args_;
  const Args& all_args_;
  const Weight& w_;
  const int64_t group_k_, G_, group_words_, words_;
  const bool exact_;
  const int64_t threads_;
  const Tiling tiling_;
  Scratch<float> x_;        // words: [panels, words, panel]
  Scratch<float> x_scale_;  // [panels, panel]
  const int64_t runs_;
  Scratch<float> run_sums_;              // Q: [panels, runs, panel]
  const int64_t row_size_;               // a whole vector beyond K, which quantize_row reads and writes
  Scratch<float> rows_;                  // [threads, row_size], a row of x in fp32
  Scratch<float> row_sums_;              // [threads, panel, runs]
  Scratch<Activation> row_q_;            // [threads, panel, words * step]
  Scratch<int32_t> tiles_;               // [threads, tile_n, block_words]
  Scratch<float> scales_, zero_points_;  // [threads, tile_n, G]
  Scratch<float> sums_;  // [threads, panels of a chunk, tile_n, panel]; of exact rows, int32 until they are scaled
};

}  // namespace
}  // namespace torchao_ops
