// Kernels with one fault each, for check_cubin.py --self-test: what it must find. They are compiled and never run.
#include <cuda_runtime.h>

namespace bad_kernels {

constexpr int threads = 256;

__global__ void __launch_bounds__(threads) good_kernel(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }

// 64 sums that all live to the end, where launch bounds leave 40 registers.
__global__ void __launch_bounds__(768, 2) spilling_kernel(const float* x, float* y) {
  float sums[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) sums[i] = x[threadIdx.x + 768 * i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) y[threadIdx.x + 768 * (63 - i)] = sums[i] * sums[(i + 7) % 64];
}

// Indices that are known at run time only put an array into local memory.
__global__ void __launch_bounds__(threads) indexed_kernel(const int* x, int* y) {
  int counts[64] = {};
  for (int i = 0; i < 1000; ++i) ++counts[x[threadIdx.x + threads * i] & 63];
  y[threadIdx.x] = counts[x[threadIdx.x] & 63];
}

__global__ void unbounded_kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

// Loads of 4 bytes where the table asks for 16.
__global__ void __launch_bounds__(threads) narrow_kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

__global__ void __launch_bounds__(threads) loopless_kernel(const float* x, float* y) {
  y[threadIdx.x] = __fmaf_rn(x[threadIdx.x], x[threadIdx.x], 1.0f);
}

// The loads are there, but before the loop and not in it.
__global__ void __launch_bounds__(threads) idle_loop_kernel(const float4* x, float* y, int n) {
  const float4 v = x[threadIdx.x];
  float sum = 0;
#pragma unroll 1
  for (int i = 0; i < n; ++i) sum = __fmaf_rn(sum, v.x, v.y);
  y[threadIdx.x] = __fadd_rn(sum, __fmul_rn(v.z, v.w));  // no FFMA of its own
}

__global__ void __launch_bounds__(threads) forbidden_kernel(float* y) { atomicAdd(y, 1.0f); }

__global__ void __launch_bounds__(threads) unlisted_kernel(float* y) { y[threadIdx.x] = 0; }

}  // namespace bad_kernels
