// Quantizing a weight group by group: a warp to each.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "csrc/cuda/elements.cuh"
#include "csrc/spec/float_types.h"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

constexpr int groups_per_block = 8;

inline dim3 group_block() { return dim3(32 * groups_per_block); }
inline dim3 group_grid(int64_t N, int64_t G) { return grid_of(ceil_div(G, groups_per_block), N); }

// body(i, n, begin, end) for each group of this warp: the i-th of all, elements [begin, end) of row n.
template <class Body>
__device__ __forceinline__ void for_each_group(int64_t N, int64_t K, int64_t group_size, int64_t G, const Body& body) {
  const int64_t g = int64_t{blockIdx.x} * groups_per_block + threadIdx.x / 32;
  if (g >= G) return;
  const int64_t begin = g * group_size, end = K - begin < group_size ? K : begin + group_size;
  for (int64_t n = blockIdx.y; n < N; n += gridDim.y) body(n * G + g, n, begin, end);
}

// Stores scale i, rounded to the array's type, and returns what is there then. NaN takes the place of the scale of a group that is not finite, and of
// one for which the type has no room.
__device__ __forceinline__ float store_scale(float scale, bool finite, void* scales, FloatType type, int64_t i) {
  store_float(scale, scales, type, i);
  const float stored = load_float(scales, type, i);
  if (finite && is_finite(stored)) return stored;
  store_float(quiet_nan(), scales, type, i);
  return quiet_nan();
}

}  // namespace torchao_ops::cuda
