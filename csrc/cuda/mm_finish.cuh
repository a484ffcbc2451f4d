// From a sum to an element of y: what all products end with.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/elements.cuh"
#include "csrc/spec/float_types.h"
#include "csrc/spec/mm.h"

namespace torchao_ops::cuda {

// The arguments of the operator, for a weight format (such as Int4 in int4_codes.cuh).
template <class Format>
struct Product {
  MmArgs mm;
  typename Format::Weight weight;
  // For activations quantized per row: [M], what q is multiplied by; NaN for a row that is not to be quantized. Null otherwise.
  const float* x_scale;
};

// y[m, n] for the sum of row m and weight row n.
//
// A sum that is not finite is formed again, element by element. It may come from an Inf in x that met a sum of codes instead of a weight,
// from a row that is not quantized, or from partial sums too large for fp32; a NaN or Inf that belongs there comes out again. It costs nothing
// until then.
template <class Format>
__device__ __forceinline__ void finish(const Product<Format>& product, int64_t m, int64_t n, float sum) {
  const MmArgs& mm = product.mm;
  if (product.x_scale != nullptr) sum *= product.x_scale[m];
  if (!is_finite(sum)) {
    sum = 0;
    for (int64_t k = 0; k < product.weight.K; ++k) {
      sum = __fmaf_rn(load_float(mm.x, mm.x_type, m * mm.x_row_stride + k), Format::element(product.weight, n, k), sum);
    }
  }
  if (mm.bias != nullptr) sum += load_float(mm.bias, mm.bias_type, n);
  store_float(sum, mm.y, mm.x_type, m * product.weight.N + n);
}

// A sum in which something took part that is no number, though its operand is one. It is formed again, as one that is not finite: NaN, and of integers
// what no sum reaches (Format::exact_k).
template <class Total>
__device__ __forceinline__ Total broken_sum();
template <>
__device__ __forceinline__ float broken_sum<float>() {
  return quiet_nan();
}
template <>
__device__ __forceinline__ int32_t broken_sum<int32_t>() {
  return INT32_MIN;
}

// a + b, which is broken if one of them is.
template <class Format, class Total>
__device__ __forceinline__ Total add_totals(Total a, Total b) {
  if constexpr (Format::breaks_sums && std::is_same_v<Total, int32_t>) {
    if (a == broken_sum<Total>() || b == broken_sum<Total>()) return broken_sum<Total>();
  }
  return a + b;
}

// The same for the sum of a whole row, not scaled yet (which integers always are), or of pieces that are. Rows without elements have no scale.
template <bool WholeRow, class Format, class Total>
__device__ __forceinline__ void finish_total(const Product<Format>& product, int64_t m, int64_t n, Total sum) {
  if constexpr (WholeRow) {
    const float exact = Format::breaks_sums && sum == broken_sum<Total>() ? quiet_nan() : static_cast<float>(sum);
    finish(product, m, n, product.weight.K == 0 ? 0.0f : exact * Format::scale(product.weight, n, 0));
  } else {
    finish(product, m, n, sum);
  }
}

// Sums [splits][M][N] along k, in order, and finish.
template <bool WholeRow, class Format, class Total>
__global__ void __launch_bounds__(256) mm_add_splits_kernel(Product<Format> product, const void* partial, int splits) {
  const Total* totals = static_cast<const Total*>(partial);
  const int64_t N = product.weight.N, M = product.mm.M;
  const int64_t n = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (n >= N) return;
  for (int64_t m = blockIdx.y; m < M; m += gridDim.y) {
    Total sum = 0;
    for (int split = 0; split < splits; ++split) sum = add_totals<Format>(sum, totals[(split * M + m) * N + n]);
    finish_total<WholeRow>(product, m, n, sum);
  }
}

}  // namespace torchao_ops::cuda
