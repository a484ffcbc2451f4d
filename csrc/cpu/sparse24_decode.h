// Products of 2:4 sparse weights for few rows of x: each weight row is streamed once, all rows of x against it. Memory bandwidth is the limit at M = 1.
//
// Each sum is kept by lane, one chain of additions in the same order for any number of rows, so a row's result is bitwise the same in every batch
// that decode takes.
//
// The template parameter Values is the values' type, the ISA, and how values and x come together:
//   Vector, Stored       the ISA's vectors of fp32 lanes; the type of a value in memory
//   Activation           element of x as it is kept for the call
//   marks                what it wants to know of quads (sparse24_rows.h)
//   chunk_k              k of two loads
//   place(chunk, out)    brings a chunk of x into order
//   load(values, marks, part)       one or the other half of a chunk of values
//   add_product(sum, loaded, x, part)   adds its products with a chunk of x
//   flushes_subnormals   whether products that are subnormal, and values, count as zero
#pragma once

#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/scratch.h"
#include "csrc/cpu/sparse24_activations.h"
#include "csrc/cpu/sparse24_mm.h"
#include "csrc/cpu/sparse24_rows.h"
#include "csrc/cpu/sparse24_values.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

// Values for which x is permuted. A vector of values is multiplied by the numbers of x that belong to them, so zeros cost nothing. Two quads of a vector's
// values lie in each 128 bits. The four numbers of x of one of them are the same 128 bits of one vector, those of the other of a second, and an in-lane
// permutation of each, controlled by the quads' choices, and a blend give the four that are kept. So x is brought into that order once per call.
//   Lanes::quad_of(vector, lane, second)   which quad of a chunk the first or second two values of a 128-bit lane come from
//   Lanes::numbers(p, vector)         a vector of values of the chunk at p
//   Lanes::choices(p, vector)         the choices of these, an index in the low two bits of each 32-bit lane, of those at p
//   Lanes::choose(x0, x1, choices)    the kept elements of the first quads, in x0, and of the second ones, in x1
template <class Lanes>
struct PermutingX {
  using Vector = typename Lanes::Vector;
  using Stored = typename Lanes::Stored;
  using Activation = float;
  static constexpr Marks marks = Marks::choices;
  static constexpr int64_t chunk_k = 4 * Vector::lanes;
  static constexpr bool flushes_subnormals = false;

  TORCHAO_OPS_INLINE static void place(const float* chunk, float* out) {
    for (int vector = 0; vector < 2; ++vector) {
      for (int second = 0; second < 2; ++second) {
        for (int lane = 0; lane < Vector::lanes / 4; ++lane, out += 4) {
          std::memcpy(out, chunk + 4 * Lanes::quad_of(vector, lane, second), 4 * sizeof(float));
        }
      }
    }
  }
  struct Loaded {
    typename Vector::Float numbers;
    typename Vector::Int choices;
  };
  TORCHAO_OPS_INLINE static Loaded load(const Stored* values, const uint8_t* marks, int part) {
    return {Lanes::numbers(values, part), Lanes::choices(marks, part)};
  }
  TORCHAO_OPS_INLINE static typename Vector::Float add_product(typename Vector::Float sum, const Loaded& loaded, const float* x,
                                                               int part) {
    const float* first = x + 2 * part * Vector::lanes;
    const typename Vector::Float kept = Lanes::choose(Vector::load(first), Vector::load(first + Vector::lanes), loaded.choices);
    return Vector::accumulate(sum, loaded.numbers, kept);
  }
};

template <class Values, class Activations>
class Sparse24Decode {
  using V = typename Values::Vector;
  using Float = typename V::Float;
  using Int = typename V::Int;
  using Stored = typename Values::Stored;
  using Activation = typename Values::Activation;

  static constexpr int64_t chunk_k = Values::chunk_k, chunk_values = chunk_k / 2, chunk_bytes = chunk_k / 8;
  // Rows of the weight treated together, as in decode.h.
  static constexpr int max_weight_rows = 4;
  static constexpr int weight_rows_for(int rows) { return rows <= 2 ? 4 : 2; }
  static constexpr int64_t prefetch_bytes = 2048;
  // Chunks whose products of int8 a lane of fp32 sums exactly: two a chunk, 2 * 512 * 128 * 127 < 2^24.
  static constexpr int64_t exact_chunks = 512;
  static constexpr bool exact = Activations::integers;

 public:
  TORCHAO_OPS_INLINE Sparse24Decode(const Sparse24MmArgs& args, int64_t threads)
      : args_(args),
        mm_(args.mm),
        w_(args.weight),
        chunks_(ceil_div(w_.K, chunk_k)),
        full_chunks_(w_.K / chunk_k),
        x_(mm_.M * chunks_ * chunk_k),
        x_row_(chunks_ * chunk_k),
        x_scale_(mm_.M),
        usable_(mm_.M),
        marks_(threads * max_weight_rows * chunks_ * chunk_bytes),
        values_(threads * max_weight_rows * chunks_ * chunk_values) {}

  TORCHAO_OPS_INLINE bool allocated() const { return all_allocated(x_, x_row_, x_scale_, usable_, marks_, values_); }

  TORCHAO_OPS_INLINE void prepare_row(int64_t m) {
    float* row = x_row_.get();
    convert<V>(mm_.x, mm_.x_type, m * mm_.x_row_stride, w_.K, row);
    for (int64_t k = w_.K; k < chunks_ * chunk_k; ++k) row[k] = 0;
    x_scale_.get()[m] = Activations::template prepare<V>(row, w_.K);
    usable_.get()[m] = is_finite(x_scale_.get()[m]);
    const int64_t m_begin = m / 4 * 4, rows = mm_.M - m_begin < 4 ? mm_.M - m_begin : 4;
    for (int64_t c = 0; c < chunks_; ++c) {
      Values::place(row + c * chunk_k, x_.get() + m_begin * chunks_ * chunk_k + (c * rows + m % 4) * chunk_k);
    }
  }

  // y[:, n_begin .. n_end).
  TORCHAO_OPS_INLINE void multiply(int64_t n_begin, int64_t n_end, int64_t worker, Smallest* violation) const {
    // Rows that are treated together lie far apart: see decode.h.
    const int64_t run = (n_end - n_begin) / max_weight_rows;
    for (int64_t i = 0; i < run; ++i) multiply_rows<max_weight_rows>(n_begin + i, run, worker, violation);
    for (int64_t n = n_begin + run * max_weight_rows; n < n_end; ++n) multiply_rows<1>(n, 0, worker, violation);
    for (int64_t m = 0; m < mm_.M; ++m) {
      if (!usable_.get()[m]) mm_scalar_row(args_, m, n_begin, n_end);
    }
  }

 private:
  using Row = CompletedRow<Stored>;

  // Rows n, n + apart, ... of the weight.
  template <int weight_rows>
  TORCHAO_OPS_INLINE void multiply_rows(int64_t n, int64_t apart, int64_t worker, Smallest* violation) const {
    Row w[weight_rows];
    for (int r = 0; r < weight_rows; ++r) {
      const int64_t slot = worker * max_weight_rows + r;
      w[r] = complete_row<Values::marks>(w_, n + r * apart, chunk_k, marks_.get() + slot * chunks_ * chunk_bytes,
                                         values_.get() + slot * chunks_ * chunk_values, violation);
    }
    int64_t m = 0;
    for (; m + 4 <= mm_.M; m += 4) blocks<4, weight_rows>(n, apart, m, w);
    switch (mm_.M - m) {
      case 3: blocks<3, weight_rows>(n, apart, m, w); break;
      case 2: blocks<2, weight_rows>(n, apart, m, w); break;
      case 1: blocks<1, weight_rows>(n, apart, m, w); break;
      default: break;
    }
    for (int r = 0; r < weight_rows; ++r) {
      if (w[r].usable) continue;
      for (m = 0; m < mm_.M; ++m) mm_scalar_row(args_, m, n + r * apart, n + r * apart + 1);
    }
  }

  template <int rows, int weight_rows>
  TORCHAO_OPS_INLINE void blocks(int64_t n, int64_t apart, int64_t m_begin, const Row* w) const {
    constexpr int block_rows = weight_rows < weight_rows_for(rows) ? weight_rows : weight_rows_for(rows);
    for (int r = 0; r < weight_rows; r += block_rows) block<rows, block_rows>(n + r * apart, apart, m_begin, w + r);
  }

  // y[m_begin + (0 .. rows), n + apart * (0 .. weight_rows)].
  template <int rows, int weight_rows>
  TORCHAO_OPS_NOINLINE void block(int64_t n, int64_t apart, int64_t m_begin, const Row* w) const {
    const Activation* x = x_.get() + m_begin * chunks_ * chunk_k;
    const uint8_t* marks[weight_rows];
    const Stored* values[weight_rows];
    for (int r = 0; r < weight_rows; ++r) {
      marks[r] = w[r].marks;
      values[r] = w[r].values;
    }
    Float sums[weight_rows][rows];
    Int totals[weight_rows][rows];
    for (int r = 0; r < weight_rows; ++r) {
      for (int m = 0; m < rows; ++m) {
        sums[r][m] = V::zero();
        totals[r][m] = V::zero_bits();
      }
    }
    auto add_chunk = [&] {
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
        for (int r = 0; r < weight_rows; ++r) {
          const auto loaded = Values::load(values[r], marks[r], part);
          for (int m = 0; m < rows; ++m) sums[r][m] = Values::add_product(sums[r][m], loaded, x + m * chunk_k, part);
        }
      }
      x += rows * chunk_k;
      for (int r = 0; r < weight_rows; ++r) {
        marks[r] += chunk_bytes;
        values[r] += chunk_values;
      }
    };
    auto add_totals = [&] {
      for (int r = 0; r < weight_rows; ++r) {
        for (int m = 0; m < rows; ++m) {
          totals[r][m] = V::add_ints(totals[r][m], V::to_int(sums[r][m]));
          sums[r][m] = V::zero();
        }
      }
    };

    for (int64_t c = 0; c < full_chunks_;) {
      const int64_t stop = exact && full_chunks_ - c > exact_chunks ? c + exact_chunks : full_chunks_;
      for (; c < stop; ++c) {
        for (int r = 0; r < weight_rows; ++r) __builtin_prefetch(reinterpret_cast<const uint8_t*>(values[r]) + prefetch_bytes);
        add_chunk();
      }
      if constexpr (exact) add_totals();
    }
    if (full_chunks_ < chunks_) {
      for (int r = 0; r < weight_rows; ++r) values[r] = w[r].rest;
      add_chunk();
      if constexpr (exact) add_totals();
    }

    for (int r = 0; r < weight_rows; ++r) {
      const float bias = mm_.bias == nullptr ? 0.0f : load_float(mm_.bias, mm_.bias_type, n + r * apart);
      for (int m = 0; m < rows; ++m) {
        const float sum = exact ? static_cast<float>(V::sum(totals[r][m])) : V::sum(sums[r][m]);
        const float scaled = sum * w[r].scale;
        store_float(scaled * x_scale_.get()[m_begin + m] + bias, mm_.y, mm_.x_type, (m_begin + m) * w_.N + n + r * apart);
        if (has_wide_range<Stored> && (w_.scale != nullptr || Values::flushes_subnormals) && !is_safe_to_scale(sum) &&
            x_scale_.get()[m_begin + m] != 0.0f) {
          mm_scalar_row(args_, m_begin + m, n + r * apart, n + r * apart + 1);
        }
      }
    }
  }

  const Sparse24MmArgs& args_;
  const MmArgs& mm_;
  const sparse24::Weight& w_;
  const int64_t chunks_, full_chunks_;
  // Of each four rows of x (or the last ones), so that a block reads them in one stream:
  Scratch<Activation> x_;    // [chunks, rows, chunk_k]
  Scratch<float> x_row_;     // [chunks * chunk_k], the row that is being prepared
  Scratch<float> x_scale_;   // [M]
  Scratch<uint8_t> usable_;  // [M]
  Scratch<uint8_t> marks_;   // [threads, max_weight_rows, chunks * chunk_bytes]
  Scratch<Stored> values_;   // [threads, max_weight_rows, chunks * chunk_values]: where the weight's cannot be used as they are
};

template <class Values, class Activations>
TORCHAO_OPS_INLINE Status sparse24_decode(const Sparse24MmArgs& args, const Parallel& parallel) {
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  // As in decode.h.
  constexpr int64_t min_rows = 32, max_rows = 256;
  const int64_t N = args.weight.N, balanced_rows = N / (8 * threads);
  const int64_t piece_rows = balanced_rows < min_rows ? min_rows : balanced_rows > max_rows ? max_rows : balanced_rows;
  Sparse24Decode<Values, Activations> decode(args, threads);
  if (!decode.allocated()) return Status::out_of_memory;
  for (int64_t m = 0; m < args.mm.M; ++m) decode.prepare_row(m);
  Smallest violation;
  for_each_piece(parallel, ceil_div(N, piece_rows), [&](int64_t piece, int64_t worker) {
    const int64_t begin = piece * piece_rows, end = N - begin < piece_rows ? N : begin + piece_rows;
    decode.multiply(begin, end, worker, &violation);
  });
  if (args.violation != nullptr) *args.violation = violation.or_none();
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
