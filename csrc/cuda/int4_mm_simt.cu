#include "csrc/cuda/int4_mm_simt.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/mm_finish.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

constexpr int warps = 8, threads = 32 * warps;

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
struct QuantizedRows {
  const uint8_t* q;
  int64_t row_bytes;

  __device__ __forceinline__ float at(int64_t m, int64_t k) const {
    return static_cast<float>(static_cast<int8_t>(q[m * row_bytes + quantized_place(k)]));
  }
  __device__ __forceinline__ void octet(int64_t m, int64_t k, float (&values)[8]) const {
    const uint8_t* place = q + m * row_bytes + quantized_place(k);
    const uint32_t even = *reinterpret_cast<const uint32_t*>(place), odd = *reinterpret_cast<const uint32_t*>(place + 16);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = static_cast<float>(static_cast<int8_t>(even >> 8 * i));
      values[2 * i + 1] = static_cast<float>(static_cast<int8_t>(odd >> 8 * i));
    }
  }
};

// A warp takes a row of the weight and MRows rows of x; a lane takes every 32nd octet. For an octet within a group: sums of x * (code - 8)
// and of x, then the group's scale and offset, so that integers stay exact; fp32 throughout.
template <class Rows, int MRows>
__global__ void __launch_bounds__(threads) int4_mm_simt_kernel(Product<Int4> product, Rows x) {
  const int4::Weight& w = product.weight;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t n = int64_t{blockIdx.x} * warps + threadIdx.x / 32;
  if (n >= w.N) return;
  const uint8_t* row = Int4::row(w, n);
  for (int64_t m0 = int64_t{blockIdx.y} * MRows; m0 < product.mm.M; m0 += int64_t{gridDim.y} * MRows) {
    const int64_t last_row = product.mm.M - 1;  // takes the place of rows that do not exist
    float sums[MRows] = {};
    for (int64_t k = 8 * lane; k < w.K; k += 8 * 32) {
      const uint32_t codes = load_int4_octet(row, k, w.K);
      const int64_t group = group_of(k, w.group_size), last_k = k + 8 < w.K ? k + 7 : w.K - 1;
      if (group == group_of(last_k, w.group_size)) {
        const float scale = Int4::scale(w, n, group), offset = Int4::offset(w, n, group);
        float operands[8];
#pragma unroll
        for (int i = 0; i < 8; ++i)
          operands[i] = static_cast<float>(static_cast<int>(codes >> 4 * i & 15) - int4::symmetric_zero_point);
#pragma unroll
        for (int m = 0; m < MRows; ++m) {
          float values[8], dot = 0, x_sum = 0;
          x.octet(m0 + m < last_row ? m0 + m : last_row, k, values);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            dot = __fmaf_rn(values[i], operands[i], dot);
            x_sum += values[i];
          }
          sums[m] = __fmaf_rn(scale, __fmaf_rn(offset, x_sum, dot), sums[m]);
        }
      } else {
        for (int64_t i = k; i <= last_k; ++i) {
          const float element = Int4::element(w, n, i);
#pragma unroll
          for (int m = 0; m < MRows; ++m) sums[m] = __fmaf_rn(x.at(m0 + m < last_row ? m0 + m : last_row, i), element, sums[m]);
        }
      }
    }
#pragma unroll
    for (int m = 0; m < MRows; ++m) {
      const float sum = warp_reduce(sums[m], [](float a, float b) { return a + b; });
      if (lane == m % 32 && m0 + m <= last_row) finish(product, m0 + m, n, sum);
    }
  }
}

template <class Rows>
Status run(const Product<Int4>& product, const Rows& x, const Context& context) {
  // Many rows of x share the work of unpacking codes; one row alone should not pay for seven others.
  constexpr int many = 8;
  const bool one = product.mm.M == 1;
  return launch("int4_mm_simt_kernel", one ? int4_mm_simt_kernel<Rows, 1> : int4_mm_simt_kernel<Rows, many>,
                grid_of(ceil_div(product.weight.N, warps), ceil_div(product.mm.M, one ? 1 : many)), dim3(threads), 0,
                context.stream, product, x);
}

}  // namespace

int64_t int4_mm_simt_workspace_bytes(const Int4MmArgs&, const Device&) { return 0; }

Status int4_mm_simt(const Int4MmArgs& args, const Context& context) {
  return with_float_type(args.mm.x_type, [&](auto type) {
    using T = decltype(type);
    return run(Product<Int4>{args.mm, args.weight, nullptr},
               ExactRows<T>{static_cast<const T*>(args.mm.x), args.mm.x_row_stride, args.weight.K}, context);
  });
}

int64_t int4_dynamic_mm_simt_workspace_bytes(const Int4MmArgs& args, const Device&) {
  return workspace_aligned(args.mm.M * static_cast<int64_t>(sizeof(float))) + args.mm.M * quantized_row_bytes(args.weight.K);
}

Status int4_dynamic_mm_simt(const Int4MmArgs& args, const Context& context) {
  float* const x_scale = static_cast<float*>(context.workspace);
  uint8_t* const x8 =
      static_cast<uint8_t*>(context.workspace) + workspace_aligned(args.mm.M * static_cast<int64_t>(sizeof(float)));
  const Status status = quantize_activations(args.mm, args.weight.K, x8, x_scale, context);
  if (status != Status::ok) return status;
  return run(Product<Int4>{args.mm, args.weight, x_scale}, QuantizedRows{x8, quantized_row_bytes(args.weight.K)}, context);
}

}  // namespace torchao_ops::cuda
