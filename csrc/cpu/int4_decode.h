// int4_mm and int4_dynamic_mm for few rows of x: each weight row is streamed once, all rows of x against it. Memory bandwidth is the limit at
// M = 1.
//
//   y[m, n] = x_scale[m] * sum over groups g of scale[n, g] * (sum_{k in g} x[m, k] * c[n, k]  -  (zero_point[n, g] - offset) * X[m, g]) + bias[n]
//
// with c = code - offset and X[m, g] the sum of x over the group. The weight stays as it is in memory: a vector of 32-bit lanes holds 8
// consecutive codes a lane, `Codes::numbers(vector, part)` turns part of them into numbers, and x is permuted once per call to the order in
// which they come (`Codes::place`). Both sums are kept by lane, and the lanes are added up at the end of the row.
//
// Each sum is one chain of additions, in the same order for any number of rows, so that a row's result is bitwise the same in every batch that
// decode takes; X is summed in that order too, so that codes equal to a zero point of 8 cancel to exact zeros.
//
// The template parameter Codes says how:
//   Vector        the ISA's vectors of fp32 lanes
//   quantizes     whether x is quantized per row to int8 first; x_scale is applied last
//   parts         steps in which the 8 codes of each lane come
//   Activation    element of the permuted x;  offset as above
//   Sum           lanes of sums: zero_sum, add_product, to_float
//   place(chunk, out, stride, lane_sums)  puts a chunk's activations in order, parts `stride` apart, and adds those of each lane to its sum
//   load, numbers            a vector of codes; the numbers of a part of them
//   load_activations         the activations of a part
#pragma once

#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/int4_scales.h"
#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

template <class Codes>
class Int4Decode {
  using V = typename Codes::Vector;
  using Float = typename V::Float;
  using Activation = typename Codes::Activation;

  static constexpr int64_t chunk_bytes = 4 * V::lanes;
  static constexpr int64_t chunk_k = 2 * chunk_bytes;
  static constexpr int64_t part_k = chunk_k / Codes::parts;
  static constexpr int64_t units = chunk_k / 32;  // a unit: 32 k, 4 lanes, within one group
  // Rows of the weight treated together, so that activations are loaded less often (at M = 4 and K = 4096 they come from the second-level cache)
  // and there are sums enough to hide the latency of adding to one: four with one or two rows of x, two with three or four. Their sums and
  // results fill AVX2's 16 registers.
  static constexpr int max_weight_rows = 4;
  static constexpr int weight_rows_for(int rows) { return rows <= 2 ? 4 : 2; }
  // At least so many bytes ahead of the load are prefetched: 64 lines, what it takes to cover DRAM latency (~100 ns) at ~40 GB/s.
  static constexpr int64_t min_prefetch_bytes = 4096;

 public:
  // Weight rows in a piece of work: long enough for the hardware prefetcher, short enough to balance.
  static constexpr int64_t piece_rows = 32;

  TORCHAO_OPS_INLINE Int4Decode(const Int4MmArgs& args, int64_t threads)
      : args_(args),
        mm_(args.mm),
        w_(args.weight),
        K_(w_.K),
        G_(group_count(K_, w_.group_size)),
        wide_(w_.group_size % chunk_k == 0 || w_.group_size >= K_),
        chunks_(ceil_div(K_, chunk_k)),
        full_chunks_(K_ / chunk_k),
        chunks_per_step_(wide_ ? chunks_in_wide_group() : 1),
        steps_(ceil_div(full_chunks_, chunks_per_step_) + (chunks_ - full_chunks_)),
        padded_groups_(ceil_div(G_, V::lanes) * V::lanes),
        row_scratch_size_(2 * (padded_groups_ + (wide_ || w_.group_size == 32 ? 0 : chunks_ * units))),
        x_(mm_.M * chunks_ * chunk_k),
        lane_sums_(mm_.M * steps_ * V::lanes),
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
      const int64_t step = c < full_chunks_ ? c / chunks_per_step_ : steps_ - 1;
      float* sums = lane_sums_.get() + (m_begin * steps_ + step * rows + m % 4) * V::lanes;
      if (c == full_chunks_ || c % chunks_per_step_ == 0) V::store(sums, V::zero());
      Activation* out = x_.get() + m_begin * chunks_ * chunk_k + c * rows * chunk_k + m % 4 * part_k;
      Codes::place(row + c * chunk_k, out, rows * part_k, sums);
    }
  }

  // y[:, n_begin .. n_end).
  TORCHAO_OPS_INLINE void multiply(int64_t n_begin, int64_t n_end, int64_t worker) const {
    float* scratch = row_scratch_.get() + worker * max_weight_rows * row_scratch_size_;
    int64_t n = n_begin;
    for (; n + max_weight_rows <= n_end; n += max_weight_rows) multiply_rows<max_weight_rows>(n, scratch);
    for (; n < n_end; ++n) multiply_rows<1>(n, scratch);
    for (int64_t m = 0; m < mm_.M; ++m) {
      if (!ordinary_.get()[m]) mm_scalar_row(args_, m, n_begin, n_end);
    }
  }

 private:
  TORCHAO_OPS_INLINE int64_t chunks_in_wide_group() const { return G_ <= 1 ? chunks_ + 1 : w_.group_size / chunk_k; }

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
      V::store(zero_point + padded_groups_ - V::lanes, V::zero());
    }
    torchao_ops::expand_scales<V>(w_, n, scale, zero_point);
    // 0 * (a finite number) is 0, 0 * (Inf or NaN) is NaN, and so is its sum with anything.
    Float zeros = V::zero();
    for (int64_t g = 0; g < G_; g += V::lanes) {
      const Float centered = V::sub(V::load(zero_point + g), V::set(float{Codes::offset}));
      V::store(zero_point + g, centered);
      zeros = V::fma(V::load(scale + g), V::zero(), V::fma(centered, V::zero(), zeros));
    }
    const bool finite = V::sum(zeros) == 0.0f;
    if (wide_ || w_.group_size == 32) return {scale, zero_point, finite};

    float* unit_scale = zero_point + padded_groups_;
    float* unit_zero_point = unit_scale + chunks_ * units;
    int64_t u = 0;
    for (int64_t g = 0; g < G_; ++g) {
      for (const int64_t stop = g + 1 == G_ ? chunks_ * units : u + w_.group_size / 32; u < stop; ++u) {
        unit_scale[u] = scale[g];
        unit_zero_point[u] = zero_point[g];
      }
    }
    return {unit_scale, unit_zero_point, finite};
  }

  template <int weight_rows>
  TORCHAO_OPS_INLINE void multiply_rows(int64_t n, float* scratch) const {
    RowScales scales[weight_rows];
    for (int r = 0; r < weight_rows; ++r) scales[r] = expand_scales(n + r, scratch + r * row_scratch_size_);
    int64_t m = 0;
    for (; m + 4 <= mm_.M; m += 4) blocks<4, weight_rows>(n, m, scales);
    switch (mm_.M - m) {
      case 3: blocks<3, weight_rows>(n, m, scales); break;
      case 2: blocks<2, weight_rows>(n, m, scales); break;
      case 1: blocks<1, weight_rows>(n, m, scales); break;
      default: break;
    }
    for (int r = 0; r < weight_rows; ++r) {
      if (scales[r].finite) continue;
      for (m = 0; m < mm_.M; ++m) mm_scalar_row(args_, m, n + r, n + r + 1);
    }
  }

  template <int rows, int weight_rows>
  TORCHAO_OPS_INLINE void blocks(int64_t n, int64_t m_begin, const RowScales* scales) const {
    constexpr int block_rows = weight_rows < weight_rows_for(rows) ? weight_rows : weight_rows_for(rows);
    for (int r = 0; r < weight_rows; r += block_rows) {
      if (wide_) {
        block<rows, block_rows, true>(n + r, m_begin, scales + r);
      } else {
        block<rows, block_rows, false>(n + r, m_begin, scales + r);
      }
    }
  }

  // y[m_begin + (0 .. rows), n + (0 .. weight_rows)].
  template <int rows, int weight_rows, bool wide_groups>
  TORCHAO_OPS_NOINLINE void block(int64_t n, int64_t m_begin, const RowScales* scales) const {
    using Sum = typename Codes::Sum;
    const Activation* x = x_.get() + m_begin * chunks_ * chunk_k;
    const float* lane_sums = lane_sums_.get() + m_begin * steps_ * V::lanes;
    const uint8_t* codes[weight_rows];
    for (int r = 0; r < weight_rows; ++r) codes[r] = w_.packed + (n + r) * w_.packed_row_stride;
    Float acc[weight_rows][rows];
    for (int r = 0; r < weight_rows; ++r)
      for (int m = 0; m < rows; ++m) acc[r][m] = V::zero();

    Sum sums[weight_rows][rows];
    auto clear_sums = [&] {
      for (int r = 0; r < weight_rows; ++r)
        for (int m = 0; m < rows; ++m) sums[r][m] = Codes::zero_sum();
    };
    auto add_chunk = [&](const uint8_t* const(&chunk)[weight_rows]) {
      typename V::Int vectors[weight_rows];
      for (int r = 0; r < weight_rows; ++r) vectors[r] = Codes::load(chunk[r]);
#pragma GCC unroll 8
      for (int part = 0; part < Codes::parts; ++part) {
        typename Codes::Numbers numbers[weight_rows];
        for (int r = 0; r < weight_rows; ++r) numbers[r] = Codes::numbers(vectors[r], part);
        for (int m = 0; m < rows; ++m) {
          const auto activations = Codes::load_activations(x + (part * rows + m) * part_k);
          for (int r = 0; r < weight_rows; ++r) sums[r][m] = Codes::add_product(sums[r][m], numbers[r], activations);
        }
      }
      x += rows * chunk_k;
    };
    // acc += scale * (sums - zero_point * X). `at` is the group of the step for wide groups, else its first unit.
    auto scale_sums = [&](int64_t at) {
      for (int r = 0; r < weight_rows; ++r) {
        const Float scale = wide_groups ? V::set(scales[r].scale[at]) : V::repeat4(scales[r].scale + at);
        const Float zero_point = wide_groups ? V::set(scales[r].zero_point[at]) : V::repeat4(scales[r].zero_point + at);
        for (int m = 0; m < rows; ++m) {
          const Float X = V::load(lane_sums + m * V::lanes);
          acc[r][m] = V::fma(V::fnma(zero_point, X, Codes::to_float(sums[r][m])), scale, acc[r][m]);
        }
      }
      lane_sums += rows * V::lanes;
    };

    // The same place in the rows that come next: these rows' own following bytes are what the hardware prefetcher sees coming.
    const int64_t next_rows = weight_rows * w_.packed_row_stride;
    const int64_t prefetch_bytes = next_rows > min_prefetch_bytes ? next_rows : min_prefetch_bytes;
    int64_t c = 0, step = 0;
    for (; c < full_chunks_; ++step) {
      const int64_t chunks_per_step = wide_groups ? chunks_per_step_ : 1;
      const int64_t stop = full_chunks_ - c < chunks_per_step ? full_chunks_ : c + chunks_per_step;
      const int64_t at = wide_groups ? step : c * units;
      clear_sums();
      for (; c < stop; ++c) {
        add_chunk(codes);
        for (int r = 0; r < weight_rows; ++r) {
          __builtin_prefetch(codes[r] + prefetch_bytes);
          codes[r] += chunk_bytes;
        }
      }
      scale_sums(at);
    }
    if (full_chunks_ < chunks_) {  // the rest of the row, a step of its own; no byte beyond the row may be read
      alignas(64) uint8_t rest[weight_rows][chunk_bytes] = {};
      const uint8_t* rests[weight_rows];
      for (int r = 0; r < weight_rows; ++r) {
        rests[r] = rest[r];
        for (int64_t i = 0; i < int4::packed_columns(K_) - full_chunks_ * chunk_bytes; ++i) rest[r][i] = codes[r][i];
      }
      clear_sums();
      add_chunk(rests);
      scale_sums(wide_groups ? G_ - 1 : full_chunks_ * units);
    }

    for (int r = 0; r < weight_rows; ++r) {
      const float bias = mm_.bias == nullptr ? 0.0f : load_float(mm_.bias, mm_.bias_type, n + r);
      for (int m = 0; m < rows; ++m) {
        store_float(V::sum(acc[r][m]) * x_scale_.get()[m_begin + m] + bias, mm_.y, mm_.x_type, (m_begin + m) * w_.N + n + r);
      }
    }
  }

  const Int4MmArgs& args_;
  const MmArgs& mm_;
  const int4::Weight& w_;
  const int64_t K_, G_;
  const bool wide_;  // every chunk lies in one group
  const int64_t chunks_, full_chunks_;
  // A step: what is summed before a scale is applied. It is the whole chunks of a wide group, or one chunk; the last, partial chunk of a row is a
  // step of its own.
  const int64_t chunks_per_step_, steps_;
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
TORCHAO_OPS_INLINE Status int4_decode(const Int4MmArgs& args, const Parallel& parallel) {
  using Decode = Int4Decode<Codes>;
  Decode decode(args, parallel.threads < 1 ? 1 : parallel.threads);
  if (!decode.allocated()) return Status::out_of_memory;
  for (int64_t m = 0; m < args.mm.M; ++m) decode.prepare_row(m);
  for_each_piece(parallel, ceil_div(args.weight.N, Decode::piece_rows), [&](int64_t piece, int64_t worker) {
    const int64_t begin = piece * Decode::piece_rows;
    const int64_t end = args.weight.N - begin < Decode::piece_rows ? args.weight.N : begin + Decode::piece_rows;
    decode.multiply(begin, end, worker);
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
