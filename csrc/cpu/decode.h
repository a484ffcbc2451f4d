// Products for few rows of x, whatever the format of w: each weight row is streamed once, all rows of x against it. Memory bandwidth is the limit at
// M = 1.
//
//   y[m, n] = x_scale[m] * sum over groups g of scale[n, g] * (sum_{k in g} x[m, k] * c[n, k]  -  (zero_point[n, g] - offset) * X[m, g]) + bias[n]
//
// with c = code - offset and X[m, g] the sum of x over the group. The weight stays as it is in memory: `Codes::numbers(chunk, part)` turns part
// of a chunk of codes into numbers, and x is permuted once per call to the order in which they come (`Codes::place`). Both sums are kept by lane,
// and the lanes are added up at the end of the row.
//
// Each sum is one chain of additions, in the same order for any number of rows, so that a row's result is bitwise the same in every batch that
// decode takes; X is summed in that order too, so that codes equal to a zero point of 8 cancel to exact zeros.
//
// The template parameter Codes says how:
//   Args          the operator's args struct, and with it the format
//   Vector        the ISA's vectors of fp32 lanes
//   quantizes     whether x is quantized per row to int8 first; x_scale is applied last
//   chunk_k       codes in a chunk, a multiple of 32. If it is 32 it may lie anyhow in the lanes; otherwise the lanes of a vector, from the first to the last,
//                 hold units of 32 consecutive codes: repeat(p) gives the lanes of unit u p[u]
//   parts         steps in which the codes of a chunk come
//   max_step      chunks of a group that may be summed before they are scaled and added to the sum of what came before; rounding errors grow with
//                 it. whole_groups: any number
//   Activation    element of the permuted x
//   Sum           lanes of sums: start(X), add_product, finish(sum, X, zero_point less offset)
//   uses_lane_sums  whether start and finish want X by lane
//   exact_rows    whether the sums are integers that are added up as such where the row is one group: total(sum)
//   place(chunk, out, stride, lane_sums)  puts a chunk's activations in order, parts `stride` apart, and adds those of each lane to its sum
//   load, numbers            a chunk of codes; the numbers of a part of it
//   load_activations         the activations of a part
#pragma once

#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/scales.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

constexpr int64_t whole_groups = int64_t{1} << 40;

// Whether a chunk of one weight row is used up before that of the next is begun. For codes whose parts share intermediate results, which for
// several rows at a time do not fit into the registers; then activations are loaded once a weight row.
template <class Codes>
constexpr bool row_by_row = false;

// How the scales of a row lie in its chunks.
enum class Groups {
  narrow,  // a chunk may lie in several groups
  wide,    // every chunk lies in one group
  exact    // the row is one group, and its sums are exact integers until they are scaled
};

template <class Codes>
class Decode {
  using V = typename Codes::Vector;
  using Float = typename V::Float;
  using Activation = typename Codes::Activation;
  using Args = typename Codes::Args;
  using Weight = decltype(Args::weight);

  static constexpr int64_t chunk_k = Codes::chunk_k;
  static constexpr int64_t chunk_bytes = chunk_k / Weight::codes_per_byte;
  static constexpr int64_t part_k = chunk_k / Codes::parts;
  static constexpr int64_t units = chunk_k / 32;  // a unit: 32 k, within one group
  // Rows of the weight treated together, so that activations are loaded less often (at M = 4 and K = 4096 they come from the second-level cache)
  // and there are sums enough to hide the latency of adding to one: four with one or two rows of x, two with three or four. Their sums and
  // results fill AVX2's 16 registers.
  static constexpr int max_weight_rows = 4;
  static constexpr int weight_rows_for(int rows) { return rows <= 2 ? 4 : 2; }
  // Bytes ahead of the load that are prefetched, in the row or beyond its end in the next one.
  static constexpr int64_t prefetch_bytes = 2048;

 public:
  TORCHAO_OPS_INLINE Decode(const Args& args, int64_t threads)
      : args_(args),
        mm_(args.mm),
        w_(args.weight),
        K_(w_.K),
        G_(group_count(K_, w_.group_size)),
        groups_(Codes::exact_rows && G_ == 1                          ? Groups::exact
                : w_.group_size % chunk_k == 0 || w_.group_size >= K_ ? Groups::wide
                                                                      : Groups::narrow),
        chunks_(ceil_div(K_, chunk_k)),
        full_chunks_(K_ / chunk_k),
        chunks_per_step_(groups_ == Groups::narrow ? 1 : chunks_in_step()),
        steps_per_group_(groups_ == Groups::narrow ? 1 : chunks_in_wide_group() / chunks_per_step_),
        steps_(groups_ == Groups::exact ? 1 : ceil_div(full_chunks_, chunks_per_step_) + (chunks_ - full_chunks_)),
        padded_groups_(ceil_div(G_, V::lanes) * V::lanes),
        row_scratch_size_((Weight::has_zero_points ? 2 : 1) *
                          (padded_groups_ + (groups_ != Groups::narrow || w_.group_size == 32 ? 0 : chunks_ * units))),
        x_(mm_.M * chunks_ * chunk_k),
        lane_sums_(Codes::uses_lane_sums ? mm_.M * steps_ * V::lanes : 0),
        ordinary_(mm_.M),
        x_scale_(mm_.M),
        x_row_(chunks_ * chunk_k),
        row_scratch_(row_scratch_size_ * max_weight_rows * threads) {}

  TORCHAO_OPS_INLINE bool allocated() const { return all_allocated(x_, lane_sums_, ordinary_, x_scale_, x_row_, row_scratch_); }

  // Quantizes row m of x if need be, permutes it, sums its lanes, and notes whether the row is ordinary.
  TORCHAO_OPS_INLINE void prepare_row(int64_t m) {
    float* row = x_row_.get();
    convert<V>(mm_.x, mm_.x_type, m * mm_.x_row_stride, K_, row);
    for (int64_t k = K_; k < chunks_ * chunk_k; ++k) row[k] = 0;
    if constexpr (Codes::quantizes) {
      x_scale_.get()[m] = quantize_row<V>(row, K_);
      ordinary_.get()[m] = is_finite(x_scale_.get()[m]);
    } else {
      MaxMagnitude<V> magnitude;
      magnitude.add(row, K_);
      x_scale_.get()[m] = 1.0f;
      ordinary_.get()[m] = is_ordinary_row(magnitude.value());
    }
    const int64_t m_begin = m / 4 * 4, rows = mm_.M - m_begin < 4 ? mm_.M - m_begin : 4;
    for (int64_t c = 0; c < chunks_; ++c) {
      float* sums = nullptr;
      if constexpr (Codes::uses_lane_sums) {
        const int64_t step = c < full_chunks_ ? c / chunks_per_step_ : steps_ - 1;
        sums = lane_sums_.get() + (m_begin * steps_ + step * rows + m % 4) * V::lanes;
        if ((c == full_chunks_ && groups_ != Groups::exact) || c % chunks_per_step_ == 0) V::store(sums, V::zero());
      }
      Activation* out = x_.get() + m_begin * chunks_ * chunk_k + c * rows * chunk_k + m % 4 * part_k;
      Codes::place(row + c * chunk_k, out, rows * part_k, sums);
    }
  }

  // y[:, n_begin .. n_end).
  TORCHAO_OPS_INLINE void multiply(int64_t n_begin, int64_t n_end, int64_t worker) const {
    float* scratch = row_scratch_.get() + worker * max_weight_rows * row_scratch_size_;
    // Rows that are treated together lie far apart, each in a run of rows of its own: the hardware prefetcher then follows long streams, where of
    // adjacent rows it would lose track at each row's end. Zen 3, K = 4096, M = 1, of int8: 14 GB/s rather than 12 to 13.
    const int64_t run = (n_end - n_begin) / max_weight_rows;
    for (int64_t i = 0; i < run; ++i) multiply_rows<max_weight_rows>(n_begin + i, run, scratch);
    for (int64_t n = n_begin + run * max_weight_rows; n < n_end; ++n) multiply_rows<1>(n, 0, scratch);
    for (int64_t m = 0; m < mm_.M; ++m) {
      if (!ordinary_.get()[m]) mm_scalar_row(args_, m, n_begin, n_end);
    }
  }

 private:
  // Of a single group more than there are, so that every step belongs to it.
  TORCHAO_OPS_INLINE int64_t chunks_in_wide_group() const {
    return G_ <= 1 ? (chunks_ / Codes::max_step + 1) * Codes::max_step : w_.group_size / chunk_k;
  }
  TORCHAO_OPS_INLINE int64_t chunks_in_step() const {
    int64_t chunks = chunks_in_wide_group();
    if (G_ <= 1) return Codes::max_step;
    while (chunks > Codes::max_step && chunks % 2 == 0) chunks /= 2;  // as long as steps are equal
    return chunks;
  }

  // Scales of a weight row, and zero points less the offset, as fp32: of each group, or of each unit of 32 k.
  struct RowScales {
    const float *scale, *zero_point;
    bool finite;
  };

  TORCHAO_OPS_INLINE RowScales expand_scales(int64_t n, float* scratch) const {
    float* scale = scratch;
    float* zero_point = scratch + padded_groups_;
    // What is read beyond the last group is finite.
    if (G_ > 0) {
      V::store(scale + padded_groups_ - V::lanes, V::zero());
      if constexpr (Weight::has_zero_points) V::store(zero_point + padded_groups_ - V::lanes, V::zero());
    }
    torchao_ops::expand_scales<V>(w_, n, scale, zero_point);
    // 0 * (a finite number) is 0, 0 * (Inf or NaN) is NaN, and so is its sum with anything.
    Float zeros = V::zero();
    for (int64_t g = 0; g < G_; g += V::lanes) {
      if constexpr (Weight::has_zero_points) {
        const Float centered = V::sub(V::load(zero_point + g), V::set(float{Codes::offset}));
        V::store(zero_point + g, centered);
        zeros = V::fma(centered, V::zero(), zeros);
      }
      zeros = V::fma(V::load(scale + g), V::zero(), zeros);
    }
    const bool finite = V::sum(zeros) == 0.0f;
    if (groups_ != Groups::narrow || w_.group_size == 32) return {scale, zero_point, finite};

    float* unit_scale = scratch + (Weight::has_zero_points ? 2 : 1) * padded_groups_;
    float* unit_zero_point = unit_scale + chunks_ * units;
    int64_t u = 0;
    for (int64_t g = 0; g < G_; ++g) {
      for (const int64_t stop = g + 1 == G_ ? chunks_ * units : u + w_.group_size / 32; u < stop; ++u) {
        unit_scale[u] = scale[g];
        if constexpr (Weight::has_zero_points) unit_zero_point[u] = zero_point[g];
      }
    }
    return {unit_scale, unit_zero_point, finite};
  }

  // Rows n, n + apart, ... of the weight.
  template <int weight_rows>
  TORCHAO_OPS_INLINE void multiply_rows(int64_t n, int64_t apart, float* scratch) const {
    RowScales scales[weight_rows];
    for (int r = 0; r < weight_rows; ++r) scales[r] = expand_scales(n + r * apart, scratch + r * row_scratch_size_);
    int64_t m = 0;
    for (; m + 4 <= mm_.M; m += 4) blocks<4, weight_rows>(n, apart, m, scales);
    switch (mm_.M - m) {
      case 3: blocks<3, weight_rows>(n, apart, m, scales); break;
      case 2: blocks<2, weight_rows>(n, apart, m, scales); break;
      case 1: blocks<1, weight_rows>(n, apart, m, scales); break;
      default: break;
    }
    for (int r = 0; r < weight_rows; ++r) {
      if (scales[r].finite) continue;
      for (m = 0; m < mm_.M; ++m) mm_scalar_row(args_, m, n + r * apart, n + r * apart + 1);
    }
  }

  template <int rows, int weight_rows>
  TORCHAO_OPS_INLINE void blocks(int64_t n, int64_t apart, int64_t m_begin, const RowScales* scales) const {
    constexpr int block_rows = weight_rows < weight_rows_for(rows) ? weight_rows : weight_rows_for(rows);
    for (int r = 0; r < weight_rows; r += block_rows) {
      switch (groups_) {
        case Groups::narrow:
          if constexpr (units > 1) block<rows, block_rows, Groups::narrow>(n + r * apart, apart, m_begin, scales + r);
          break;
        case Groups::wide: block<rows, block_rows, Groups::wide>(n + r * apart, apart, m_begin, scales + r); break;
        case Groups::exact:
          if constexpr (Codes::exact_rows) block<rows, block_rows, Groups::exact>(n + r * apart, apart, m_begin, scales + r);
          break;
      }
    }
  }

  // y[m_begin + (0 .. rows), n + apart * (0 .. weight_rows)].
  template <int rows, int weight_rows, Groups groups>
  TORCHAO_OPS_NOINLINE void block(int64_t n, int64_t apart, int64_t m_begin, const RowScales* scales) const {
    using Sum = typename Codes::Sum;
    const Activation* x = x_.get() + m_begin * chunks_ * chunk_k;
    const float* lane_sums = lane_sums_.get() + m_begin * steps_ * V::lanes;
    const uint8_t* codes[weight_rows];
    for (int r = 0; r < weight_rows; ++r) codes[r] = w_.row(n + r * apart);
    Float acc[weight_rows][rows];
    for (int r = 0; r < weight_rows; ++r)
      for (int m = 0; m < rows; ++m) acc[r][m] = V::zero();

    auto lane_sums_of = [&](int m) { return Codes::uses_lane_sums ? V::load(lane_sums + m * V::lanes) : V::zero(); };
    Sum sums[weight_rows][rows];
    auto start_sums = [&] {
      for (int m = 0; m < rows; ++m) {
        const Sum start = Codes::start(lane_sums_of(m));
        for (int r = 0; r < weight_rows; ++r) sums[r][m] = start;
      }
    };
    auto add_chunk = [&](const uint8_t* const(&chunk)[weight_rows]) {
      if constexpr (row_by_row<Codes>) {
        for (int r = 0; r < weight_rows; ++r) {
          const typename Codes::Chunk codes_of_row = Codes::load(chunk[r]);
#pragma GCC unroll 8
          for (int part = 0; part < Codes::parts; ++part) {
            const typename Codes::Numbers numbers = Codes::numbers(codes_of_row, part);
            for (int m = 0; m < rows; ++m) {
              sums[r][m] = Codes::add_product(sums[r][m], numbers, Codes::load_activations(x + (part * rows + m) * part_k));
            }
          }
        }
        x += rows * chunk_k;
        return;
      }
      typename Codes::Chunk chunks[weight_rows];
      for (int r = 0; r < weight_rows; ++r) chunks[r] = Codes::load(chunk[r]);
#pragma GCC unroll 8
      for (int part = 0; part < Codes::parts; ++part) {
        typename Codes::Numbers numbers[weight_rows];
        for (int r = 0; r < weight_rows; ++r) numbers[r] = Codes::numbers(chunks[r], part);
        for (int m = 0; m < rows; ++m) {
          const auto activations = Codes::load_activations(x + (part * rows + m) * part_k);
          for (int r = 0; r < weight_rows; ++r) sums[r][m] = Codes::add_product(sums[r][m], numbers[r], activations);
        }
      }
      x += rows * chunk_k;
    };
    // acc += scale * (sums - zero_point * X). `at` is the group of the step for wide groups, else its first unit.
    auto spread = [](const float* p) {
      if constexpr (groups == Groups::narrow) return Codes::repeat(p);
      return V::set(*p);
    };
    auto scale_sums = [&](int64_t at) {
      for (int r = 0; r < weight_rows; ++r) {
        const Float scale = spread(scales[r].scale + at);
        const Float zero_point = Weight::has_zero_points ? spread(scales[r].zero_point + at) : V::zero();
        for (int m = 0; m < rows; ++m) {
          acc[r][m] = V::fma(Codes::finish(sums[r][m], lane_sums_of(m), zero_point), scale, acc[r][m]);
        }
      }
      lane_sums += rows * V::lanes;
    };

    if (groups == Groups::exact) start_sums();
    int64_t c = 0, group = 0, steps_left = steps_per_group_;
    while (c < full_chunks_) {
      const int64_t chunks_per_step = groups == Groups::narrow ? 1 : chunks_per_step_;
      const int64_t stop = full_chunks_ - c < chunks_per_step ? full_chunks_ : c + chunks_per_step;
      const int64_t at = groups == Groups::narrow ? c * units : group;
      if (groups != Groups::exact) start_sums();
      for (; c < stop; ++c) {
        add_chunk(codes);
        for (int r = 0; r < weight_rows; ++r) {
          __builtin_prefetch(codes[r] + prefetch_bytes);
          codes[r] += chunk_bytes;
        }
      }
      if (groups != Groups::exact) scale_sums(at);
      if (--steps_left == 0) {
        ++group;
        steps_left = steps_per_group_;
      }
    }
    if (full_chunks_ < chunks_) {  // the rest of the row, a step of its own; no byte beyond the row may be read
      alignas(64) uint8_t rest[weight_rows][chunk_bytes] = {};
      const uint8_t* rests[weight_rows];
      for (int r = 0; r < weight_rows; ++r) {
        rests[r] = rest[r];
        const int64_t row_bytes = ceil_div(K_, Weight::codes_per_byte);
        for (int64_t i = 0; i < row_bytes - full_chunks_ * chunk_bytes; ++i) rest[r][i] = codes[r][i];
      }
      if (groups != Groups::exact) start_sums();
      add_chunk(rests);
      if (groups != Groups::exact) scale_sums(groups == Groups::narrow ? full_chunks_ * units : G_ - 1);
    }

    for (int r = 0; r < weight_rows; ++r) {
      const float bias = mm_.bias == nullptr ? 0.0f : load_float(mm_.bias, mm_.bias_type, n + r * apart);
      for (int m = 0; m < rows; ++m) {
        float sum;
        if constexpr (groups == Groups::exact) {
          sum = Codes::total(sums[r][m]) * scales[r].scale[0];
        } else {
          sum = V::sum(acc[r][m]);
        }
        store_float(sum * x_scale_.get()[m_begin + m] + bias, mm_.y, mm_.x_type, (m_begin + m) * w_.N + n + r * apart);
      }
    }
  }

  const Args& args_;
  const MmArgs& mm_;
  const Weight& w_;
  const int64_t K_, G_;
  const Groups groups_;
  const int64_t chunks_, full_chunks_;
  // A step: what is summed before a scale is applied. It is the whole chunks of a wide group or some of them, or one chunk; the last, partial chunk
  // of a row is a step of its own, except in an exact row.
  const int64_t chunks_per_step_, steps_per_group_, steps_;
  const int64_t padded_groups_, row_scratch_size_;
  // Of each four rows of x (or the last ones), so that a block reads them in one stream:
  Scratch<Activation> x_;       // [chunks, parts, rows, part_k]
  Scratch<float> lane_sums_;    // X by lane: [steps, rows, lanes]
  Scratch<uint8_t> ordinary_;   // [M]
  Scratch<float> x_scale_;      // [M]
  Scratch<float> x_row_;        // [chunks * chunk_k], the row that is being prepared
  Scratch<float> row_scratch_;  // [threads, max_weight_rows, row_scratch_size], see expand_scales
};

template <class Codes>
TORCHAO_OPS_INLINE Status mm_decode(const typename Codes::Args& args, const Parallel& parallel) {
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  // Weight rows in a piece of work: many, for long streams, but few enough for pieces that balance.
  constexpr int64_t min_rows = 32, max_rows = 256;
  const int64_t balanced_rows = args.weight.N / (8 * threads);
  const int64_t piece_rows = balanced_rows < min_rows ? min_rows : balanced_rows > max_rows ? max_rows : balanced_rows;
  Decode<Codes> decode(args, threads);
  if (!decode.allocated()) return Status::out_of_memory;
  for (int64_t m = 0; m < args.mm.M; ++m) decode.prepare_row(m);
  for_each_piece(parallel, ceil_div(args.weight.N, piece_rows), [&](int64_t piece, int64_t worker) {
    const int64_t begin = piece * piece_rows;
    const int64_t end = args.weight.N - begin < piece_rows ? args.weight.N : begin + piece_rows;
    decode.multiply(begin, end, worker);
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
