#include <gtest/gtest.h>

#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/ptx.cuh"

namespace {

using torchao_ops::cuda::enqueue;

__global__ void copy_kernel(const int* in, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, staged, [64]);
  staged[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = staged[63 - threadIdx.x];
}

TEST(First, Copies) {
  int *in, *out;
  cudaMalloc(&in, 256);
  cudaMalloc(&out, 256);
  for (int i = 0; i < 64; ++i) in[i] = i;
  ASSERT_EQ(enqueue(copy_kernel, 1, 64, 0, nullptr, in, out), cudaSuccess);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], 63 - i);
  EXPECT_THROW(enqueue(copy_kernel, 1, 64, 0, nullptr, in, out + 1), cuda_host::Error);
}

}  // namespace
