// y = x @ w.T on the ordinary cores, in fp32: any type of x, any alignment, any group size.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/device.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_finish.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {

constexpr int simt_warps = 8, simt_threads = 32 * simt_warps;

// Rows of x, 8 elements at a time, as fp32.
template <class T>
struct ExactRows {
  const T* x;
  int64_t row_stride, K;

  __device__ __forceinline__ float at(int64_t m, int64_t k) const { return to_float32(x[m * row_stride + k]); }
  __device__ __forceinline__ void octet(int64_t m, int64_t k, float (&values)[8]) const {
    load_octet(x + m * row_stride, k, K, values);
  }
};

// The same for quantized rows (quantize_activations.h): integers, so that sums of an octet times codes are exact in fp32.
template <OctetOrder order>
struct QuantizedRows {
  const uint8_t* q;
  int64_t row_bytes;

  __device__ __forceinline__ float at(int64_t m, int64_t k) const {
    return static_cast<float>(static_cast<int8_t>(q[m * row_bytes + quantized_place(order, k)]));
  }
  __device__ __forceinline__ void octet(int64_t m, int64_t k, float (&values)[8]) const {
    const uint8_t* place = q + m * row_bytes + quantized_place(order, k);
    const uint32_t words[2] = {*reinterpret_cast<const uint32_t*>(place), *reinterpret_cast<const uint32_t*>(place + 16)};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int word = order == OctetOrder::even_odd ? i % 2 : i / 4, byte = order == OctetOrder::even_odd ? i / 2 : i % 4;
      values[i] = static_cast<float>(static_cast<int8_t>(words[word] >> 8 * byte));
    }
  }
};

// A warp takes a row of the weight and MRows rows of x; a lane takes every 32nd octet. For an octet within a group: sums of x * operand and of x,
// then the group's scale and offset, so that integers stay exact. WholeRow: integer sums of whole rows, scaled at the end.
// The 1 is for the compiler, which otherwise saves registers by spilling some.
template <class Format, class Rows, int MRows, bool WholeRow>
__global__ void __launch_bounds__(simt_threads, 1) mm_simt_kernel(Product<Format> product, Rows x) {
  using Total = std::conditional_t<WholeRow, int32_t, float>;
  const typename Format::Weight& w = product.weight;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t n = int64_t{blockIdx.x} * simt_warps + threadIdx.x / 32;
  if (n >= w.N) return;
  for (int64_t m0 = int64_t{blockIdx.y} * MRows; m0 < product.mm.M; m0 += int64_t{gridDim.y} * MRows) {
    const int64_t last_row = product.mm.M - 1;  // takes the place of rows that do not exist
    Total sums[MRows] = {};
    for (int64_t k = 8 * lane; k < w.K; k += 8 * 32) {
      const int64_t group = Format::group_at(w, n, k), last_k = k + 8 < w.K ? k + 7 : w.K - 1;
      if (WholeRow || group == Format::group_at(w, n, last_k)) {
        float operands[8];
        Format::operands(w, n, k, operands);
        float scale = 1, offset = 0;
        if constexpr (!WholeRow) {
          scale = Format::scale(w, n, group);
          offset = Format::offset(w, n, group);
          if constexpr (Format::has_row_scales) {  // far from 1 it keeps numbers in range that are not so without it
#pragma unroll
            for (int i = 0; i < 8; ++i) operands[i] *= scale;
            scale = 1;
          }
        }
#pragma unroll
        for (int m = 0; m < MRows; ++m) {
          float values[8], dot = 0, x_sum = 0;
          x.octet(m0 + m < last_row ? m0 + m : last_row, k, values);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            dot = __fmaf_rn(values[i], operands[i], dot);
            if constexpr (Format::has_offsets) x_sum += values[i];
          }
          if constexpr (WholeRow) {
            const bool broken = Format::breaks_sums && !is_finite(dot);
            sums[m] = add_totals<Format>(sums[m], broken ? broken_sum<Total>() : __float2int_rn(dot));
          } else {
            if constexpr (Format::has_offsets) dot = __fmaf_rn(offset, x_sum, dot);
            sums[m] = __fmaf_rn(scale, dot, sums[m]);
          }
        }
      } else {
        for (int64_t i = k; i <= last_k; ++i) {
          const float element = Format::element(w, n, i);
#pragma unroll
          for (int m = 0; m < MRows; ++m) sums[m] = __fmaf_rn(x.at(m0 + m < last_row ? m0 + m : last_row, i), element, sums[m]);
        }
      }
    }
#pragma unroll
    for (int m = 0; m < MRows; ++m) {
      const Total sum = warp_reduce(sums[m], add_totals<Format, Total>);
      if (lane == m % 32 && m0 + m <= last_row) finish_total<WholeRow>(product, m0 + m, n, sum);
    }
  }
}

template <bool WholeRow, class Format, class Rows>
Status launch_mm_simt(const Product<Format>& product, const Rows& x, const Context& context) {
  // Many rows of x share the work of unpacking codes; one row alone should not pay for seven others.
  constexpr int many = 8;
  const bool one = product.mm.M == 1;
  return launch("mm_simt_kernel", one ? mm_simt_kernel<Format, Rows, 1, WholeRow> : mm_simt_kernel<Format, Rows, many, WholeRow>,
                grid_of(ceil_div(product.weight.N, simt_warps), ceil_div(product.mm.M, one ? 1 : many)), dim3(simt_threads), 0,
                context.stream, product, x);
}

template <class Format>
Status run_mm_simt(const MmArgs& mm, const typename Format::Weight& weight, const Context& context) {
  return with_float_type(mm.x_type, [&](auto type) {
    using T = decltype(type);
    return launch_mm_simt<false>(Product<Format>{mm, weight, nullptr},
                                 ExactRows<T>{static_cast<const T*>(mm.x), mm.x_row_stride, weight.K}, context);
  });
}

// With x quantized to int8 into the workspace first.
template <class Format>
Status run_dynamic_mm_simt(const MmArgs& mm, const typename Format::Weight& weight, const Context& context) {
  const QuantizedX x(mm.M, weight.K, context.workspace);
  const Status status = quantize_activations(mm, weight.K, Format::octet_order, x, context);
  if (status != Status::ok) return status;
  const Product<Format> product{mm, weight, x.scale};
  const QuantizedRows<Format::octet_order> rows{x.q, x.row_bytes};
  if constexpr (!Format::has_offsets) {
    if (weight.group_size >= weight.K && weight.K <= Format::exact_k) return launch_mm_simt<true>(product, rows, context);
  }
  return launch_mm_simt<false>(product, rows, context);
}

// With x rounded to an 8-bit float into the workspace first.
template <class Format>
Status run_rounded_mm_simt(const MmArgs& mm, const typename Format::Weight& weight, Float8Type type, const Context& context) {
  const QuantizedX x = rounded_x(mm.M, weight.K, context.workspace);
  const Status status = round_activations(mm, weight.K, type, x, context);
  if (status != Status::ok) return status;
  const ExactRows<__half> rows{reinterpret_cast<const __half*>(x.q), x.row_bytes / static_cast<int64_t>(sizeof(__half)),
                               weight.K};
  return launch_mm_simt<false>(Product<Format>{mm, weight, x.scale}, rows, context);
}

}  // namespace torchao_ops::cuda
