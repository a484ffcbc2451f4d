#include "csrc/cpu/mm_scalar.h"
#include "csrc/cpu/nf4_mm.h"

namespace torchao_ops {
namespace {

// Columns of y, and n that are summed in order before they are added to the sum of what came before.
constexpr int64_t block_k = 64, sum_n = 128;

}  // namespace

void mm_scalar_row(const Nf4MmArgs& args, int64_t m, int64_t n_begin, int64_t n_end) { scalar_row(args, m, n_begin, n_end); }

Status nf4_mm_scalar(const Nf4MmArgs& args, const Parallel& parallel) { return scalar_mm(args, parallel); }

Status nf4_mm_transposed_scalar(const Nf4MmArgs& args, const Parallel& parallel) {
  const MmArgs& mm = args.mm;
  const nf4::Weight& w = args.weight;
  const int64_t row_blocks = ceil_div(mm.M, scalar_max_rows);
  for_each_piece(parallel, row_blocks * ceil_div(w.K, block_k), [&](int64_t piece, int64_t) {
    const int64_t k = piece / row_blocks * block_k, count = w.K - k < block_k ? w.K - k : block_k;
    const int64_t m_begin = piece % row_blocks * scalar_max_rows;
    const int64_t rows = mm.M - m_begin < scalar_max_rows ? mm.M - m_begin : scalar_max_rows;
    float sums[scalar_max_rows][block_k] = {};
    for (int64_t begin = 0; begin < w.N; begin += sum_n) {
      const int64_t end = w.N - begin < sum_n ? w.N : begin + sum_n;
      float run[scalar_max_rows][block_k] = {};
      for (int64_t n = begin; n < end; ++n) {
        float row[block_k];
        dequantize(w, n, k, count, row);
        for (int64_t m = 0; m < rows; ++m) {
          const float x = load_float(mm.x, mm.x_type, (m_begin + m) * mm.x_row_stride + n);
          for (int64_t i = 0; i < count; ++i) run[m][i] += x * row[i];
        }
      }
      for (int64_t m = 0; m < rows; ++m)
        for (int64_t i = 0; i < count; ++i) sums[m][i] += run[m][i];
    }
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t i = 0; i < count; ++i) store_float(sums[m][i], mm.y, mm.x_type, (m_begin + m) * w.K + k + i);
  });
  return Status::ok;
}

}  // namespace torchao_ops
