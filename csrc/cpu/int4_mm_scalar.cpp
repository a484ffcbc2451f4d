#include "csrc/cpu/int4_mm.h"

namespace torchao_ops {
namespace {

// k handled at a time: the dequantized piece (2 KiB) stays in the first-level cache.
constexpr int64_t block_k = 512;

// w[n, k_begin + i] for i in [0, count).
void dequantize(const int4::Weight& w, int64_t n, int64_t k_begin, int64_t count, float* out) {
  int64_t k = k_begin;
  const int64_t k_end = k_begin + count;
  while (k < k_end) {
    const int64_t group = k / w.group_size;
    const int64_t group_left = w.group_size - k % w.group_size;
    const int64_t stop = k_end - k < group_left ? k_end : k + group_left;
    const float scale = w.scale_at(n, group), zero_point = w.zero_point_at(n, group);
    for (; k < stop; ++k) *out++ = (static_cast<float>(w.code(n, k)) - zero_point) * scale;
  }
}

// Rows [m_begin, m_end) of column n. At most max_rows of them.
constexpr int64_t max_rows = 16;
void column(const Int4MmArgs& args, int64_t n, int64_t m_begin, int64_t m_end) {
  const MmArgs& mm = args.mm;
  const int64_t K = args.weight.K;
  float sums[max_rows] = {};
  float w[block_k];
  for (int64_t k = 0; k < K; k += block_k) {
    const int64_t count = K - k < block_k ? K - k : block_k;
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

}  // namespace

void int4_mm_scalar_row(const Int4MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end) {
  for (int64_t n = n_begin; n < n_end; ++n) column(args, n, m, m + 1);
}

Status int4_mm_scalar(const Int4MmArgs& args, const Parallel& parallel) {
  for_each_piece(parallel, args.weight.N, [&](int64_t n, int64_t) {
    for (int64_t m = 0; m < args.mm.M; m += max_rows) {
      column(args, n, m, args.mm.M - m < max_rows ? args.mm.M : m + max_rows);
    }
  });
  return Status::ok;
}

}  // namespace torchao_ops
