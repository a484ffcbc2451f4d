// Sums and the like over the 32 lanes of a warp.
#pragma once

#include <cuda_runtime.h>

namespace torchao_ops::cuda {

constexpr unsigned all_lanes = 0xffffffffu;

// combine() of the values of all lanes, in a fixed tree: the same bits in every run. All lanes get the result; combine is commutative.
template <class T, class Combine>
__device__ __forceinline__ T warp_reduce(T value, const Combine& combine) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = combine(value, __shfl_xor_sync(all_lanes, value, distance));
  return value;
}

}  // namespace torchao_ops::cuda
