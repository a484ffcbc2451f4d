// y = x @ w.T + bias in plain C++, for any format of w: what a CPU without AVX2 runs, and what computes the rows and columns with values that the
// other kernels cannot treat. The file of each operator includes it and makes it functions.
//
// Args is an operator's args struct, and with it the format (formats.h). For dynamic products, its weight also gives integers, code(n, k), and its
// groups lie in one row each.
#pragma once

#include <cmath>

#include "csrc/cpu/scratch.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {
namespace {

// k handled at a time: the dequantized piece (2 KiB) stays in the first-level cache.
constexpr int64_t scalar_block_k = 512;

// w[n, k_begin + i] for i in [0, count).
template <class Weight>
void dequantize(const Weight& w, int64_t n, int64_t k_begin, int64_t count, float* out) {
  int64_t k = k_begin;
  const int64_t k_end = k_begin + count;
  while (k < k_end) {
    const int64_t group = w.group_position(n, k) / w.group_size;
    const int64_t group_left = w.group_size - w.group_position(n, k) % w.group_size;
    const int64_t stop = k_end - k < group_left ? k_end : k + group_left;
    const float scale = w.scale_at(n, group), zero_point = w.zero_point_at(n, group);
    for (; k < stop; ++k) *out++ = (w.number(n, k) - zero_point) * scale;
  }
}

// Rows [m_begin, m_end) of column n. At most max_rows of them.
constexpr int64_t scalar_max_rows = 16;
template <class Args>
void scalar_column(const Args& args, int64_t n, int64_t m_begin, int64_t m_end) {
  const MmArgs& mm = args.mm;
  const int64_t K = args.weight.K;
  float sums[scalar_max_rows] = {};
  float w[scalar_block_k];
  for (int64_t k = 0; k < K; k += scalar_block_k) {
    const int64_t count = K - k < scalar_block_k ? K - k : scalar_block_k;
    dequantize(args.weight, n, k, count, w);
    for (int64_t m = m_begin; m < m_end; ++m) {
      // Sums of eight interleaved parts, of a block: short rounding chains, and a fixed order that the compiler can vectorize.
      float s[8] = {};
      const int64_t x = m * mm.x_row_stride + k;
      for (int64_t i = 0; i < count; ++i) s[i % 8] += load_float(mm.x, mm.x_type, x + i) * w[i];
      sums[m - m_begin] += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
  }
  const float bias = mm.bias == nullptr ? 0.0f : load_float(mm.bias, mm.bias_type, n);
  for (int64_t m = m_begin; m < m_end; ++m) {
    store_float(sums[m - m_begin] + bias, mm.y, mm.x_type, m * args.weight.N + n);
  }
}

template <class Args>
void scalar_row(const Args& args, int64_t m, int64_t n_begin, int64_t n_end) {
  for (int64_t n = n_begin; n < n_end; ++n) scalar_column(args, n, m, m + 1);
}

template <class Args>
Status scalar_mm(const Args& args, const Parallel& parallel) {
  for_each_piece(parallel, args.weight.N, [&](int64_t n, int64_t) {
    for (int64_t m = 0; m < args.mm.M; m += scalar_max_rows) {
      scalar_column(args, n, m, args.mm.M - m < scalar_max_rows ? args.mm.M : m + scalar_max_rows);
    }
  });
  return Status::ok;
}

// Quantizes row m of x into q[K]. Returns its scale: 0 for a row of zeros, NaN for a row that must not be quantized.
TORCHAO_OPS_INLINE float scalar_quantize_row(const MmArgs& mm, int64_t K, int64_t m, int8_t* q) {
  float max_magnitude = 0;
  bool finite = true;
  for (int64_t k = 0; k < K; ++k) {
    const float value = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    finite = finite && is_finite(value);
    max_magnitude = std::fmax(max_magnitude, std::fabs(value));
  }
  const float scale = max_magnitude / 127.0f;
  if (!finite || (scale == 0.0f && max_magnitude != 0.0f)) return float_from_bits(0x7fc00000u);
  for (int64_t k = 0; k < K; ++k) {
    const float value = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    const float rounded = scale == 0.0f ? 0.0f : std::nearbyint(value / scale);
    q[k] = static_cast<int8_t>(std::fmin(std::fmax(rounded, -127.0f), 127.0f));
  }
  return scale;
}

template <class Args>
Status scalar_dynamic_mm(const Args& args, const Parallel& parallel) {
  const MmArgs& mm = args.mm;
  const auto& w = args.weight;
  Scratch<int8_t> q(mm.M * w.K);
  Scratch<float> x_scale(mm.M);
  if (!all_allocated(q, x_scale)) return Status::out_of_memory;
  for_each_piece(parallel, mm.M,
                 [&](int64_t m, int64_t) { x_scale.get()[m] = scalar_quantize_row(mm, w.K, m, q.get() + m * w.K); });

  const int64_t G = group_count(w.K, w.group_size);
  for_each_piece(parallel, w.N, [&](int64_t n, int64_t) {
    const float bias = mm.bias == nullptr ? 0.0f : load_float(mm.bias, mm.bias_type, n);
    bool finite = true;
    for (int64_t g = 0; g < G; ++g) finite = finite && is_finite(w.scale_at(n, g)) && is_finite(w.zero_point_at(n, g));
    for (int64_t m = 0; m < mm.M; ++m) {
      if (!finite || !is_finite(x_scale.get()[m])) {
        scalar_row(args, m, n, n + 1);
        continue;
      }
      const int8_t* row = q.get() + m * w.K;
      float sum = 0;
      for (int64_t g = 0; g < G; ++g) {
        const int64_t begin = g * w.group_size;
        const int64_t end = w.K - begin < w.group_size ? w.K : begin + w.group_size;
        int64_t dot = 0, q_sum = 0;
        for (int64_t k = begin; k < end; ++k) {
          dot += int64_t{row[k]} * w.code(n, k);
          q_sum += row[k];
        }
        sum += w.scale_at(n, g) * (static_cast<float>(dot) - w.zero_point_at(n, g) * static_cast<float>(q_sum));
      }
      store_float(sum * x_scale.get()[m] + bias, mm.y, mm.x_type, m * w.N + n);
    }
  });
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
