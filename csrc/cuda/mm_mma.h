// How the tensor-core product (mm_mma.cuh) is cut into blocks: decided on the host from sizes and the device.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// k is taken in steps of 32, which are one 8-bit mma or two 16-bit ones, and in chunks of 64 bytes of a row of the weight.
constexpr int step_k = 32, chunk_bytes = 64;

// Warps of a block: `n` of them side by side, each with 32 rows of the weight, times `k` of them that share the chunks of these rows.
struct MmaShape {
  int n_tiles;  // of 8 rows of x: a block takes 8 * n_tiles of them
  int warps_n, warps_k;
  int resident_blocks;  // on a multiprocessor, as __launch_bounds__ asks for: as many as have registers enough (72 to 240 a thread)
  int stages;           // chunks in a warp's ring: one is used while the others are on their way

  TORCHAO_OPS_CONSTEXPR int threads() const { return 32 * warps_n * warps_k; }
  TORCHAO_OPS_CONSTEXPR int block_rows() const { return 32 * warps_n; }  // of the weight
  TORCHAO_OPS_CONSTEXPR int block_m() const { return 8 * n_tiles; }
};

// Few rows of x: all warps share k, so that a block has few rows of the weight, there are many blocks, and sums need no second kernel. The more rows
// of x there are, the more rows of the weight a block has for each time that it reads x.
//
// Memory is kept busy by the bytes on their way: 27 KiB for each multiprocessor of an H200 (4.8 TB/s * 750 ns / 132). Here 48 KiB for a block of the
// first two shapes and 32 KiB for the others. More stages would not leave room for x in the 99 KiB that a block of compute capability 8.6 has.
constexpr MmaShape mma_shapes[] = {{1, 1, 8, 2, 4}, {2, 2, 4, 1, 4}, {4, 2, 4, 1, 3}, {8, 8, 1, 1, 3}};

// The smallest shape that takes M rows in one block, or the largest.
constexpr int mma_shape_of(int64_t M) { return M <= 8 ? 0 : M <= 16 ? 1 : M <= 32 ? 2 : 3; }

// Those in which sums are formed in the same order.
constexpr int first_with_four_warps_k = 1, last_with_four_warps_k = 2;

// Blocks along k. A block takes split_chunks chunks (the last one fewer); their sums are added in order of k by another kernel.
struct MmaSplit {
  int64_t splits, split_chunks;
};

// How a product is cut, and what it needs of the workspace: at most rows_per_launch rows of x are taken at a time.
struct MmaPlan {
  int shape;  // of mma_shapes
  MmaSplit split;
  int64_t rows_per_launch;

  int64_t partial_bytes(int64_t N) const {
    return split.splits == 1 ? 0 : split.splits * rows_per_launch * N * static_cast<int64_t>(sizeof(float));
  }
};

// The plan with the shortest time by a model of the device (mm_mma.cpp). With batch_invariant the sums of a row of x are formed in the same order
// for every M. A chunk has chunk_k elements.
MmaPlan mma_plan(int64_t M, int64_t N, int64_t K, int chunk_k, bool batch_invariant, const Device& device);

}  // namespace torchao_ops::cuda
