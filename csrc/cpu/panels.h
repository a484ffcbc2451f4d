// What the prefill kernels share: x in panels, products of a tile with a panel, and panels of results turned into rows of y.
//
// A panel is as many rows of x as two vectors have lanes. In it, the 32-bit words of a row (one fp32, two bf16 or four int8 each) lie a
// panel apart: [word][row of the panel].
#pragma once

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"

namespace torchao_ops {
namespace {

template <class V>
constexpr int64_t panel_rows = 2 * V::lanes;

// Packs `rows` rows at x (at most a panel; the rest of the panel becomes zeros), of `count` elements each, into out[word][row]; the last
// word is filled with zeros. load_words(p) gives the 8 words at p, of step elements each.
template <class V, int step, class T, class LoadWords>
TORCHAO_OPS_INLINE void pack_panel(const T* x, int64_t row_stride, int64_t rows, int64_t count, const LoadWords& load_words,
                                   float* out) {
  constexpr int64_t block = 8 * step;
  const int64_t words = (count + step - 1) / step;
  for (int64_t m = 0; m < panel_rows<V>; m += 8) {
    for (int64_t word = 0; word < words; word += 8) {
      const int64_t k = word * step;
      Avx2::Float r[8];
      for (int64_t i = 0; i < 8; ++i) {
        const T* row = x + (m + i) * row_stride + k;
        if (m + i >= rows) {
          r[i] = Avx2::zero();
        } else if (count - k >= block) {
          r[i] = load_words(row);
        } else {
          T rest[block] = {};
          for (int64_t j = 0; j < count - k; ++j) rest[j] = row[j];
          r[i] = load_words(rest);
        }
      }
      Avx2::transpose(r);
      for (int64_t j = 0; j < 8 && word + j < words; ++j) Avx2::store(out + (word + j) * panel_rows<V> + m, r[j]);
    }
  }
}

// sums[n][row] (+)= sum over words of tile[n][word] * x[word][row], for block_rows n and `vectors` vectors of rows.
template <class Tile, int block_rows, int vectors>
TORCHAO_OPS_NOINLINE void tile_times_panel(const typename Tile::Word* tile, int64_t tile_stride, const float* x, int64_t words,
                                           bool first, float* sums) {
  using V = typename Tile::Vector;
  typename V::Float s[block_rows][vectors];
#pragma GCC unroll 24
  for (int n = 0; n < block_rows; ++n)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) s[n][v] = V::zero();
  for (int64_t word = 0; word < words; ++word) {
    typename V::Float xs[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) xs[v] = V::load(x + word * panel_rows<V> + v * V::lanes);
#pragma GCC unroll 24
    for (int n = 0; n < block_rows; ++n) {
      const typename V::Float w = Tile::broadcast(tile + n * tile_stride + word);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) s[n][v] = Tile::dot(s[n][v], xs[v], w);
    }
  }
#pragma GCC unroll 24
  for (int n = 0; n < block_rows; ++n) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      float* out = sums + n * panel_rows<V> + v * V::lanes;
      V::store(out, first ? s[n][v] : V::add(s[n][v], V::load(out)));
    }
  }
}

// y[m_begin + row, n_begin + n] = sums[n][row] * row_scale[row] + bias[n], for `rows` rows and `columns` columns of y [M, N]. A panel of sums has
// `panel` rows, a multiple of 8.
template <class T>
TORCHAO_OPS_NOINLINE void store_panel(const MmArgs& args, int64_t N, int64_t m_begin, int64_t rows, int64_t n_begin,
                                      int64_t columns, const float* sums, int64_t panel, const float* row_scale) {
  T* y = static_cast<T*>(args.y) + m_begin * N + n_begin;
  for (int64_t n = 0; n < columns; n += 8) {
    const int64_t count = columns - n < 8 ? columns - n : 8;
    float bias[8] = {};
    if (args.bias != nullptr) {
      for (int64_t i = 0; i < count; ++i) bias[i] = load_float(args.bias, args.bias_type, n_begin + n + i);
    }
    const Avx2::Float bias_vector = Avx2::load(bias);
    for (int64_t m = 0; m < rows; m += 8) {
      Avx2::Float r[8];
      for (int64_t i = 0; i < 8; ++i) r[i] = i < count ? Avx2::load(sums + (n + i) * panel + m) : Avx2::zero();
      Avx2::transpose(r);
      for (int64_t i = 0; i < 8 && m + i < rows; ++i) {
        T* out = y + (m + i) * N + n;
        const Avx2::Float result = Avx2::add(Avx2::mul(r[i], Avx2::set(row_scale[m + i])), bias_vector);
        if (count == 8) {
          Avx2::store(out, result);
        } else {
          T rest[8];
          Avx2::store(rest, result);
          for (int64_t j = 0; j < count; ++j) out[j] = rest[j];
        }
      }
    }
  }
}

TORCHAO_OPS_INLINE void store_panel(const MmArgs& args, int64_t N, int64_t m_begin, int64_t rows, int64_t n_begin,
                                    int64_t columns, const float* sums, int64_t panel, const float* row_scale) {
  switch (args.x_type) {
    case FloatType::f32: store_panel<float>(args, N, m_begin, rows, n_begin, columns, sums, panel, row_scale); return;
    case FloatType::f16: store_panel<Half>(args, N, m_begin, rows, n_begin, columns, sums, panel, row_scale); return;
    case FloatType::bf16: store_panel<BFloat16>(args, N, m_begin, rows, n_begin, columns, sums, panel, row_scale); return;
  }
}

// The register blocks of an ISA: sums, two vectors of x and a broadcast word fill its registers (6 * 2 + 2 + 1 of 16, 12 * 2 + 2 + 1 of 32).
template <class V>
constexpr int block_rows = V::lanes == 8 ? 6 : 12;
template <class V>
constexpr int narrow_block_rows = 2 * block_rows<V>;  // with one vector of x

// All columns of a tile with one panel of which `rows` rows are in use. The tile may hold anything in rows beyond `columns`, up to a whole
// number of blocks: their sums are not used.
template <class Tile>
TORCHAO_OPS_INLINE void multiply_panel(const typename Tile::Word* tile, int64_t tile_stride, int64_t columns, const float* x,
                                       int64_t rows, int64_t words, bool first, float* sums) {
  using V = typename Tile::Vector;
  if (rows <= V::lanes) {
    for (int64_t n = 0; n < columns; n += narrow_block_rows<V>) {
      tile_times_panel<Tile, narrow_block_rows<V>, 1>(tile + n * tile_stride, tile_stride, x, words, first,
                                                      sums + n * panel_rows<V>);
    }
  } else {
    for (int64_t n = 0; n < columns; n += block_rows<V>) {
      tile_times_panel<Tile, block_rows<V>, 2>(tile + n * tile_stride, tile_stride, x, words, first, sums + n * panel_rows<V>);
    }
  }
}

// Exact weights and activations, fp32 multiply-add: a word is one fp32.
template <class V>
struct Fp32Tile {
  using Vector = V;
  using Word = float;
  using Element = float;
  static constexpr int step = 1;
  template <class T>
  TORCHAO_OPS_INLINE static Avx2::Float load_words(const T* p) {
    return Avx2::load(p);
  }
  TORCHAO_OPS_INLINE static typename V::Float broadcast(const Word* p) { return V::set(*p); }
  TORCHAO_OPS_INLINE static typename V::Float dot(typename V::Float sum, typename V::Float x, typename V::Float w) {
    return V::fma(x, w, sum);
  }
};

// How the rows of the weight and of x are cut into pieces of work.
struct Tiling {
  // Divisible by every block_rows and narrow_block_rows.
  static constexpr int64_t max_tile_n = 96;
  static constexpr int64_t chunk_m = 256;  // rows of x for which a tile's sums are kept: 96 KiB of fp32

  int64_t tile_n, tiles, panels, panels_per_chunk, chunks;

  // Tiles get smaller where there would be fewer than four pieces a thread.
  TORCHAO_OPS_INLINE Tiling(int64_t M, int64_t N, int64_t rows_per_panel, int64_t threads, int64_t rows_per_chunk = chunk_m,
                            int64_t largest_tile_n = max_tile_n)
      : tile_n(largest_tile_n),
        panels(ceil_div(M, rows_per_panel)),
        panels_per_chunk(panels * rows_per_panel < rows_per_chunk ? panels : rows_per_chunk / rows_per_panel),
        chunks(panels == 0 ? 0 : ceil_div(panels, panels_per_chunk)) {
    while (tile_n > 24 && ceil_div(N, tile_n) * chunks < 4 * threads) tile_n /= 2;
    tiles = ceil_div(N, tile_n);
  }
};
static_assert(Tiling::max_tile_n / 4 % 24 == 0, "the smallest tile still holds whole blocks");

}  // namespace
}  // namespace torchao_ops
