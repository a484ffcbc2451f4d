// How the tensor-core product (mm_mma.cuh) is cut into blocks: decided on the host from sizes and the device.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// k is taken in steps of 32, which are one 8-bit mma or two 16-bit ones and 16 bytes of int4 codes, and in chunks of four steps.
constexpr int step_k = 32, chunk_steps = 4, chunk_k = step_k * chunk_steps;

// Warps of a block: `n` of them side by side, each with 32 rows of the weight, times `k` of them that share the chunks of these rows.
struct MmaShape {
  int n_tiles;  // of 8 rows of x: a block takes 8 * n_tiles of them
  int warps_n, warps_k;
  int resident_blocks;  // on a multiprocessor, as __launch_bounds__ asks for

  TORCHAO_OPS_CONSTEXPR int threads() const { return 32 * warps_n * warps_k; }
  TORCHAO_OPS_CONSTEXPR int block_rows() const { return 32 * warps_n; }  // of the weight
  TORCHAO_OPS_CONSTEXPR int block_m() const { return 8 * n_tiles; }
};

// Few rows of x: warps share k, so that a block has few rows of the weight and there are many blocks. Many: each warp has rows of its own, so
// that a block reads x once for 256 rows of the weight.
constexpr MmaShape mma_shapes[] = {{1, 2, 4, 2}, {2, 2, 4, 2}, {4, 2, 4, 1}, {8, 8, 1, 1}};

// The smallest shape that takes M rows in one block, or the largest.
constexpr int mma_shape_of(int64_t M) { return M <= 8 ? 0 : M <= 16 ? 1 : M <= 32 ? 2 : 3; }

constexpr int widest_with_shared_k = 2;  // the last shape whose warps share k as those of the first do
static_assert(mma_shapes[0].warps_k == mma_shapes[1].warps_k && mma_shapes[0].warps_k == mma_shapes[2].warps_k);

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

// The plan with the shortest time on `device` by a model: blocks run in waves, and a block takes time in proportion to its chunks and, for
// beginning and ending, as long as for 512 of k. For M <= 8, 4096 x 4096 on 132 multiprocessors is 64 x 4 blocks.
// With batch_invariant the plan is the same for every M, but for rows_per_launch and the number of tiles, which change no sum.
MmaPlan mma_plan(int64_t M, int64_t N, int64_t K, bool batch_invariant, const Device& device);

}  // namespace torchao_ops::cuda
