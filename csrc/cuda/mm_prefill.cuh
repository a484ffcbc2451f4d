// y = x @ w.T for many rows of x: the weight is dequantized to x's type in the workspace, and cuBLASLt multiplies.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/gemm.h"
#include "csrc/cuda/launch.cuh"
#include "csrc/spec/mm.h"

namespace torchao_ops::cuda {

template <class T>
__global__ void __launch_bounds__(256) convert_bias_kernel(const void* bias, FloatType type, int64_t N, T* converted) {
  const int64_t n = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (n < N) converted[n] = round_to<T>(load_float(bias, type, n));
}

// How many rows of the weight are dequantized at a time: 64 MiB, to bound the workspace, but at least 1024, as many as keep a device busy in the
// product. A multiple of 256, so that the bias of each part is as aligned as gemm wants it, and so are the rows of y where N is.
inline int64_t rows_of_weight(int64_t N, int64_t row_bytes) {
  constexpr int64_t most_bytes = int64_t{64} << 20, fewest_rows = 1024;
  return std::min(N, std::max(most_bytes / row_bytes / 256 * 256, fewest_rows));
}

// What lies where in the workspace, in bytes, and how many rows of the weight are dequantized at a time.
struct PrefillWorkspace {
  int64_t rows, gemm, weight, bias, total;

  PrefillWorkspace(const MmArgs& mm, int64_t N, int64_t K) {
    const int64_t size = size_of(mm.x_type);
    rows = rows_of_weight(N, K * size);
    gemm = 0;
    weight = workspace_aligned(gemm_workspace_bytes);
    bias = weight + workspace_aligned(rows * K * size);
    total = bias + (converts_bias(mm) ? N * size : 0);
  }
  static bool converts_bias(const MmArgs& mm) { return mm.bias != nullptr && mm.bias_type != mm.x_type; }
};

// For a weight [N, K], K >= 1. dequantize(n, rows, out) makes rows [n, n + rows) of it in x's type, adjacent. A bias of another type than x's is
// rounded to that first.
template <class Dequantize>
Status run_mm_prefill(const MmArgs& mm, int64_t N, int64_t K, const Dequantize& dequantize, const Context& context) {
  if (mm.M == 0 || N == 0) return Status::ok;
  const PrefillWorkspace places(mm, N, K);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  const int64_t size = size_of(mm.x_type);
  const uint8_t* bias = static_cast<const uint8_t*>(mm.bias);
  Status status = Status::ok;
  if (PrefillWorkspace::converts_bias(mm)) {
    status = with_float_type(mm.x_type, [&](auto type) {
      using T = decltype(type);
      return launch("convert_bias_kernel", convert_bias_kernel<T>, grid_of(ceil_div(N, 256), 1), dim3(256), 0, context.stream,
                    mm.bias, mm.bias_type, N, reinterpret_cast<T*>(workspace + places.bias));
    });
    bias = workspace + places.bias;
  }
  for (int64_t n = 0; n < N && status == Status::ok; n += places.rows) {
    const int64_t rows = std::min(places.rows, N - n);
    status = dequantize(n, rows, workspace + places.weight);
    if (status != Status::ok) return status;

    GemmArgs product{};
    product.type = mm.x_type;
    product.x = mm.x;
    product.x_row_stride = mm.x_row_stride;
    product.w = workspace + places.weight;
    product.w_row_stride = K;
    product.bias = bias == nullptr ? nullptr : bias + n * size;
    product.y = static_cast<uint8_t*>(mm.y) + n * size;
    product.y_row_stride = N;
    product.M = mm.M;
    product.N = rows;
    product.K = K;
    product.workspace = workspace + places.gemm;
    status = gemm(product, context);
  }
  return status;
}

}  // namespace torchao_ops::cuda
