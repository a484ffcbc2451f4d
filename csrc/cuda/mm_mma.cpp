#include "csrc/cuda/mm_mma.h"

#include <algorithm>

namespace torchao_ops::cuda {
namespace {

// The sums of a row of x depend on the split and on warps_k: both are those of one row of x where batches must not matter.
MmaSplit split_of(const MmaShape& shape, int64_t M, int64_t N, int64_t K, const Device& device) {
  constexpr int64_t unit_chunks = 4;  // 512 of k: a chunk for each of four warps
  const int64_t blocks = ceil_div(N, shape.block_rows()) * ceil_div(M, shape.block_m());
  const int64_t resident = int64_t{device.multiprocessors} * shape.resident_blocks;
  const int64_t units = std::max<int64_t>(1, ceil_div(K, unit_chunks * chunk_k));
  constexpr int64_t most_splits = 64;  // each adds M * N partial sums to write and read
  int64_t best = 1, best_time = INT64_MAX;
  for (int64_t splits = 1; splits <= std::min(units, most_splits); ++splits) {
    const int64_t time = ceil_div(blocks * splits, resident) * (ceil_div(units, splits) + 1);
    if (time < best_time) {
      best = splits;
      best_time = time;
    }
  }
  const int64_t split_units = ceil_div(units, best);
  return {ceil_div(units, split_units), split_units * unit_chunks};
}

}  // namespace

MmaPlan mma_plan(int64_t M, int64_t N, int64_t K, bool batch_invariant, const Device& device) {
  MmaPlan plan{};
  plan.shape = batch_invariant ? std::min(mma_shape_of(M), widest_with_shared_k) : mma_shape_of(M);
  plan.split = split_of(mma_shapes[batch_invariant ? 0 : plan.shape], batch_invariant ? 1 : M, N, K, device);
  constexpr int64_t split_rows = 512;     // partial sums of 8 MB for N = 4096
  constexpr int64_t most_blocks = 65535;  // of a grid along z (CUDA programming guide, "Technical specifications")
  const int64_t most_rows = plan.split.splits > 1 ? split_rows : most_blocks * mma_shapes[plan.shape].block_m();
  plan.rows_per_launch = std::min(M, most_rows);
  return plan;
}

}  // namespace torchao_ops::cuda
