// Products whose sums a library forms: they lie in the workspace, and a kernel finishes them.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_finish.cuh"

namespace torchao_ops::cuda {

// How many rows of x are multiplied at a time: 64 MiB of sums, to bound the workspace, but at least 256 rows, for which reading the weight again does
// not count. A multiple of 256, if there are more rows.
inline int64_t rows_of_sums(int64_t M, int64_t row_bytes) {
  constexpr int64_t most_bytes = int64_t{64} << 20, fewest_rows = 256;
  return std::min(M, std::max(most_bytes / row_bytes / fewest_rows * fewest_rows, fewest_rows));
}

// Sums of columns [n, n + columns) of y.
template <class Total>
struct Sums {
  const Total* sums;
  int64_t row_stride, n, columns;
  const int64_t* violations;  // [columns], not -1 where the weight's row is broken; or null
};

template <class Format, class Total>
__global__ void __launch_bounds__(matrix_threads) mm_finish_sums_kernel(Product<Format> product, Sums<Total> sums) {
  for_each_in_matrix(product.mm.M, sums.columns, [&](int64_t m, int64_t column) {
    const bool broken = sums.violations != nullptr && sums.violations[column] != -1;
    finish_total<true>(product, m, sums.n + column, broken ? broken_sum<Total>() : sums.sums[m * sums.row_stride + column]);
  });
}

// Rows [m, m + rows) of y; the product is that of all rows.
template <class Format, class Total>
Status finish_sums(Product<Format> product, int64_t m, int64_t rows, const Sums<Total>& sums, const Context& context) {
  MmArgs& mm = product.mm;
  const int64_t size = size_of(mm.x_type);
  mm.M = rows;
  mm.x = static_cast<const uint8_t*>(mm.x) + m * mm.x_row_stride * size;
  mm.y = static_cast<uint8_t*>(mm.y) + m * product.weight.N * size;
  product.x_scale += m;
  return launch("mm_finish_sums_kernel", mm_finish_sums_kernel<Format, Total>, matrix_grid(rows, sums.columns),
                matrix_block(rows), 0, context.stream, product, sums);
}

}  // namespace torchao_ops::cuda
