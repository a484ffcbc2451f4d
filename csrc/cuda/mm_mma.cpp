#include "csrc/cuda/mm_mma.h"

#include <algorithm>

namespace torchao_ops::cuda {
namespace {

// The split with the shortest time by this model. Time is counted in turns, in which each warp of a block takes a chunk. Blocks run in waves of as many
// as are resident; a block takes its turns, and another for beginning and ending. Splits cost a second kernel: some 2 us, where a turn is
// 0.9 us on an H200 (264 blocks of 8 warps of 2 KiB at 4.8 TB/s). Estimated, not measured.
MmaSplit split_of(const MmaShape& shape, int64_t M, int64_t N, int64_t K, int chunk_k, const Device& device) {
  const int64_t blocks = ceil_div(N, shape.block_rows()) * ceil_div(M, shape.block_m());
  const int64_t resident = int64_t{device.multiprocessors} * shape.resident_blocks;
  const int64_t turns = std::max<int64_t>(1, ceil_div(K, int64_t{shape.warps_k} * chunk_k));
  constexpr int64_t most_splits = 64;  // each adds M * N partial sums to write and read
  int64_t best = 1, best_time = INT64_MAX;
  for (int64_t splits = 1; splits <= std::min(turns, most_splits); ++splits) {
    const int64_t time = ceil_div(blocks * splits, resident) * (ceil_div(turns, splits) + 1) + (splits > 1 ? 2 : 0);
    if (time < best_time) {
      best = splits;
      best_time = time;
    }
  }
  const int64_t split_turns = ceil_div(turns, best);
  return {ceil_div(turns, split_turns), split_turns * shape.warps_k};
}

}  // namespace

MmaPlan mma_plan(int64_t M, int64_t N, int64_t K, int chunk_k, bool batch_invariant, const Device& device) {
  MmaPlan plan{};
  plan.shape = mma_shape_of(M);
  if (batch_invariant) {
    plan.shape = std::clamp(plan.shape, first_with_four_warps_k, last_with_four_warps_k);
    plan.split = split_of(mma_shapes[first_with_four_warps_k], 1, N, K, chunk_k, device);
  } else {
    plan.split = split_of(mma_shapes[plan.shape], M, N, K, chunk_k, device);
  }
  constexpr int64_t split_rows = 512;     // partial sums of 8 MB for N = 4096
  constexpr int64_t most_blocks = 65535;  // of a grid along z (CUDA programming guide, "Technical specifications")
  const int64_t most_rows = plan.split.splits > 1 ? split_rows : most_blocks * mma_shapes[plan.shape].block_m();
  plan.rows_per_launch = std::min(M, most_rows);
  return plan;
}

}  // namespace torchao_ops::cuda
