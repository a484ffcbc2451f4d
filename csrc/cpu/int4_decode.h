// int4_mm and int4_dynamic_mm for few rows of x: each weight row is streamed once, all rows of x against it. Memory bandwidth is the limit at
// M = 1.
//
//   y[m, n] = sum_g scale[n, g] * (sum_{k in g} x[m, k] * c[n, k])  -  sum_g scale[n, g] * (zero_point[n, g] - offset) * X[m, g]
//
// with c = code - offset and X[m, g] the sum of x over the group. The weight stays as it is in memory: a vector of 32-bit lanes holds 8
// consecutive codes a lane, `Codes::numbers(vector, part)` turns part of them into numbers, and x is permuted once per call to
// the order in which they come (`Codes::place`).
//
// The template parameter Codes says how:
//   Vector        the ISA's vectors of fp32 lanes
//   quantizes     whether x is quantized per row to int8 first (and its scale applied last)
//   parts         steps in which the 8 codes of each lane come
//   Activation    element of the permuted x;  offset as above
//   Sum           lanes of sums: zero_sum, add_sums, to_float
//   place(chunk, out, lane_sums)  puts a chunk's activations to their places, and sums those of each lane
//   load, numbers            a vector of codes; the numbers of a part of them
//   load_activations, dot    the activations of a part; products added to a Sum
#pragma once

#include "csrc/cpu/activations.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/quantize_row.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

template <class Codes>
struct Int4Decode {
  using V = typename Codes::Vector;
  using Float = typename V::Float;
  using Activation = typename Codes::Activation;

  static constexpr int64_t chunk_bytes = 4 * V::lanes;
  static constexpr int64_t chunk_k = 2 * chunk_bytes;
  static constexpr int64_t units = chunk_k / 32;  // a unit: 32 k, 4 lanes, within one group
  // Rows of the weight treated together, so that activations are loaded half as often (at M = 4 and K = 4096 they come from the second-level
  // cache). Two rows of the weight and four of x fill AVX2's 16 registers.
  static constexpr int max_weight_rows = 2;
  // Bytes ahead of the load that are prefetched: 64 lines, what it takes to cover DRAM latency (~100 ns) at ~40 GB/s.
  static constexpr int64_t prefetch_bytes = 4096;
  // Weight rows in a piece of work: long enough for the hardware prefetcher, short enough to balance.
  static constexpr int64_t piece_rows = 32;

  const Int4MmArgs& args;
  const int4::Weight& w;
  const int64_t M, K, G, chunks, padded_groups;
  const bool wide;  // every chunk lies in one group
  Scratch<Activation> x;       // [M, chunks, chunk_k]
  Scratch<float> group_sums;   // X: [M, padded_groups]
  Scratch<uint8_t> ordinary;   // [M]
  Scratch<float> x_scale;      // [M]
  Scratch<float> x_row;        // [chunks * chunk_k], the row that is being prepared
  const int64_t row_scratch_size;
  Scratch<float> row_scratch;  // [threads, max_weight_rows, row_scratch_size], see expand_scales

  TORCHAO_OPS_INLINE Int4Decode(const Int4MmArgs& a, const Parallel& parallel)
      : args(a),
        w(a.weight),
        M(a.mm.M),
        K(w.K),
        G(group_count(K, w.group_size)),
        chunks(ceil_div(K, chunk_k)),
        padded_groups(ceil_div(G, V::lanes) * V::lanes),
        wide(w.group_size % chunk_k == 0 || w.group_size >= K),
        x(M * chunks * chunk_k),
        group_sums(M * padded_groups),
        ordinary(M),
        x_scale(M),
        x_row(chunks * chunk_k),
        row_scratch_size(2 * padded_groups + chunks * units),
        row_scratch(row_scratch_size * max_weight_rows * (parallel.threads < 1 ? 1 : parallel.threads)) {}

  TORCHAO_OPS_INLINE bool allocated() const {
    return all_allocated(x, group_sums, ordinary, x_scale, x_row, row_scratch);
  }

  // Quantizes row m of x if need be, permutes it, sums its groups, and notes whether the row is ordinary.
  TORCHAO_OPS_INLINE void prepare_row(int64_t m) {
    float* row = x_row.get();
    convert<V>(args.mm.x, args.mm.x_type, m * args.mm.x_row_stride, K, row);
    for (int64_t k = K; k < chunks * chunk_k; ++k) row[k] = 0;
    if constexpr (Codes::quantizes) {
      x_scale.get()[m] = quantize_row<V>(row, K);
      ordinary.get()[m] = is_finite(x_scale.get()[m]);
    } else {
      MaxMagnitude<V> magnitude;
      magnitude.add(row, K);
      x_scale.get()[m] = 1.0f;
      ordinary.get()[m] = is_ordinary_row(magnitude.value());
    }
    float* sums = group_sums.get() + m * padded_groups;
    for (int64_t g = 0; g < padded_groups; ++g) sums[g] = 0;
    int64_t group = 0, lanes_left = lanes_per_group();
    for (int64_t c = 0; c < chunks; ++c) {
      float lane_sums[V::lanes];
      Codes::place(row + c * chunk_k, x.get() + (m * chunks + c) * chunk_k, lane_sums);
      for (int64_t lane = 0; lane < V::lanes && c * chunk_k + 8 * lane < K; ++lane, --lanes_left) {
        if (lanes_left == 0) {
          ++group;
          lanes_left = lanes_per_group();
        }
        sums[group] += lane_sums[lane];
      }
    }
  }
  // 8 consecutive k lie in one lane and in one group.
  TORCHAO_OPS_INLINE int64_t lanes_per_group() const { return G == 1 ? ceil_div(K, 8) : w.group_size / 8; }

  // Scales of row n as fp32: scale[G]; then scale * (zero_point - offset), zero beyond G; then, unless a unit of 32
  // k is a group or groups are wide, the scale of each unit. Returns whether all are finite.
  template <bool wide_groups>
  TORCHAO_OPS_INLINE bool expand_scales(int64_t n, float* scale) const {
    float* product = scale + padded_groups;
    convert<V>(w.scale, w.scale_type, n * w.scale_row_stride, G, scale);
    for (int64_t g = G; g < padded_groups; ++g) scale[g] = 0;
    if (w.zero_point != nullptr) {
      convert<V>(w.zero_point, w.zero_point_type, n * w.zero_point_row_stride, G, product);
      for (int64_t g = G; g < padded_groups; ++g) product[g] = 0;
    }
    // 0 * (a finite number) is 0, 0 * (Inf or NaN) is NaN, and so is its sum with anything.
    Float zeros = V::zero();
    for (int64_t g = 0; g < padded_groups; g += V::lanes) {
      const Float s = V::load(scale + g);
      const Float z = w.zero_point != nullptr ? V::load(product + g) : V::set(float{int4::symmetric_zero_point});
      const Float p = V::mul(s, V::sub(z, V::set(float{Codes::offset})));
      V::store(product + g, p);
      zeros = V::fma(s, V::zero(), V::fma(p, V::zero(), zeros));
    }
    if (!wide_groups && w.group_size != 32) {
      float* unit_scale = product + padded_groups;
      int64_t u = 0;
      for (int64_t g = 0; g < G; ++g) {
        const int64_t stop = g + 1 == G ? chunks * units : u + w.group_size / 32;
        for (; u < stop; ++u) unit_scale[u] = scale[g];
      }
    }
    return V::sum(zeros) == 0.0f;
  }

  // Sums of products of `rows` rows of x with `weight_rows` rows of the weight, `chains` for each pair: together the eight that hide the
  // latency of two multiply-adds a cycle.
  template <int rows, int weight_rows>
  struct Sums {
    static constexpr int chains = Codes::parts < 4 ? 1 : rows == 1 ? 4 : rows == 2 ? 2 : 1;
    typename Codes::Sum s[weight_rows][rows][chains];

    TORCHAO_OPS_INLINE void clear() {
      for (auto& of_weight_row : s)
        for (auto& of_pair : of_weight_row)
          for (typename Codes::Sum& sum : of_pair) sum = Codes::zero_sum();
    }
    TORCHAO_OPS_INLINE Float total(int r, int m) const {
      const auto& c = s[r][m];
      if constexpr (chains == 4) return Codes::to_float(Codes::add_sums(Codes::add_sums(c[0], c[1]), Codes::add_sums(c[2], c[3])));
      if constexpr (chains == 2) return Codes::to_float(Codes::add_sums(c[0], c[1]));
      return Codes::to_float(c[0]);
    }
    // Adds the products of one chunk: codes[r] with the activations at xs[m] + at.
    TORCHAO_OPS_INLINE void add_chunk(const uint8_t* const (&codes)[weight_rows], const Activation* const (&xs)[rows], int64_t at) {
      typename V::Int vectors[weight_rows];
      for (int r = 0; r < weight_rows; ++r) vectors[r] = Codes::load(codes[r]);
#pragma GCC unroll 8
      for (int part = 0; part < Codes::parts; ++part) {
        typename Codes::Numbers numbers[weight_rows];
        for (int r = 0; r < weight_rows; ++r) numbers[r] = Codes::numbers(vectors[r], part);
        for (int m = 0; m < rows; ++m) {
          const auto x = Codes::load_activations(xs[m] + at + part * (chunk_k / Codes::parts));
          for (int r = 0; r < weight_rows; ++r) s[r][m][part % chains] = Codes::dot(s[r][m][part % chains], numbers[r], x);
        }
      }
    }
  };

  // y[m_begin + (0 .. rows), n + (0 .. weight_rows)]. The scales of a weight row follow those of the one before at row_scratch.
  template <int rows, int weight_rows, bool wide_groups>
  TORCHAO_OPS_NOINLINE void block(int64_t n, int64_t m_begin, const float* scales) const {
    const Activation* xs[rows];
    for (int m = 0; m < rows; ++m) xs[m] = x.get() + (m_begin + m) * chunks * chunk_k;
    const uint8_t* codes[weight_rows];
    for (int r = 0; r < weight_rows; ++r) codes[r] = w.packed + (n + r) * w.packed_row_stride;
    Float acc[weight_rows][rows];
    for (auto& of_weight_row : acc)
      for (Float& sum : of_weight_row) sum = V::zero();
    Sums<rows, weight_rows> sums;
    const int64_t unit_scales = w.group_size == 32 ? 0 : 2 * padded_groups;
    // acc += scale * sums. `at` is the group for wide groups, else the chunk.
    auto scale_sums = [&](int64_t at) {
      for (int r = 0; r < weight_rows; ++r) {
        const float* scale = scales + r * row_scratch_size;
        const Float s = wide_groups ? V::set(scale[at]) : V::repeat4(scale + unit_scales + at * units);
        for (int m = 0; m < rows; ++m) acc[r][m] = V::fma(sums.total(r, m), s, acc[r][m]);
      }
    };

    const int64_t full_chunks = K / chunk_k;
    const int64_t chunks_per_group = !wide_groups ? 1 : G == 1 ? full_chunks : w.group_size / chunk_k;
    int64_t c = 0;
    for (int64_t at = 0; c < full_chunks; ++at) {
      const int64_t stop = full_chunks - c < chunks_per_group ? full_chunks : c + chunks_per_group;
      sums.clear();
      for (; c < stop; ++c) {
        sums.add_chunk(codes, xs, c * chunk_k);
        for (int r = 0; r < weight_rows; ++r) {
          __builtin_prefetch(codes[r] + prefetch_bytes);
          codes[r] += chunk_bytes;
        }
      }
      scale_sums(at);
    }
    if (full_chunks < chunks) {  // the rest of the row, of which no byte beyond the row may be read
      alignas(64) uint8_t rest[weight_rows][chunk_bytes] = {};
      const uint8_t* rests[weight_rows];
      for (int r = 0; r < weight_rows; ++r) {
        rests[r] = rest[r];
        for (int64_t i = 0; i < int4::packed_columns(K) - full_chunks * chunk_bytes; ++i) rest[r][i] = codes[r][i];
      }
      sums.clear();
      sums.add_chunk(rests, xs, full_chunks * chunk_k);
      scale_sums(wide_groups ? G - 1 : full_chunks);
    }

    for (int r = 0; r < weight_rows; ++r) {
      const float* product = scales + r * row_scratch_size + padded_groups;
      const float bias = args.mm.bias == nullptr ? 0.0f : load_float(args.mm.bias, args.mm.bias_type, n + r);
      for (int m = 0; m < rows; ++m) {
        const float* X = group_sums.get() + (m_begin + m) * padded_groups;
        Float sum = acc[r][m];
        for (int64_t g = 0; g < padded_groups; g += V::lanes) sum = V::fnma(V::load(product + g), V::load(X + g), sum);
        store_float(V::sum(sum) * x_scale.get()[m_begin + m] + bias, args.mm.y, args.mm.x_type, (m_begin + m) * w.N + n + r);
      }
    }
  }

  template <int weight_rows, bool wide_groups>
  TORCHAO_OPS_INLINE void weight_rows_times_x(int64_t n, float* scales) const {
    bool finite[weight_rows];
    for (int r = 0; r < weight_rows; ++r) finite[r] = expand_scales<wide_groups>(n + r, scales + r * row_scratch_size);
    int64_t m = 0;
    for (; m + 4 <= M; m += 4) block<4, weight_rows, wide_groups>(n, m, scales);
    switch (M - m) {
      case 3: block<3, weight_rows, wide_groups>(n, m, scales); break;
      case 2: block<2, weight_rows, wide_groups>(n, m, scales); break;
      case 1: block<1, weight_rows, wide_groups>(n, m, scales); break;
      default: break;
    }
    for (int r = 0; r < weight_rows; ++r) {
      if (finite[r]) continue;
      for (m = 0; m < M; ++m) int4_mm_scalar_row(args, m, n + r, n + r + 1);
    }
  }

  template <bool wide_groups>
  TORCHAO_OPS_INLINE void piece(int64_t n_begin, int64_t n_end, int64_t worker) const {
    float* scales = row_scratch.get() + worker * max_weight_rows * row_scratch_size;
    int64_t n = n_begin;
    for (; n + max_weight_rows <= n_end; n += max_weight_rows) weight_rows_times_x<max_weight_rows, wide_groups>(n, scales);
    for (; n < n_end; ++n) weight_rows_times_x<1, wide_groups>(n, scales);
    for (int64_t m = 0; m < M; ++m) {
      if (!ordinary.get()[m]) int4_mm_scalar_row(args, m, n_begin, n_end);
    }
  }
};

template <class Codes>
TORCHAO_OPS_INLINE Status int4_decode(const Int4MmArgs& args, const Parallel& parallel) {
  using Decode = Int4Decode<Codes>;
  Decode decode(args, parallel);
  if (!decode.allocated()) return Status::out_of_memory;
  for (int64_t m = 0; m < args.mm.M; ++m) decode.prepare_row(m);
  for_each_piece(parallel, ceil_div(args.weight.N, Decode::piece_rows), [&](int64_t i, int64_t worker) {
    const int64_t begin = i * Decode::piece_rows;
    const int64_t end = args.weight.N - begin < Decode::piece_rows ? args.weight.N : begin + Decode::piece_rows;
    if (decode.wide) {
      decode.template piece<true>(begin, end, worker);
    } else {
      decode.template piece<false>(begin, end, worker);
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
