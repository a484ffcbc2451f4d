#include "tests/cpp/cuda_host/launch.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/cuda_host.h"
#include "tests/cpp/cuda_host/fault.h"
#include "tests/cpp/cuda_host/memory.h"
#include "tests/cpp/cuda_host/race.h"
#include "tests/cpp/cuda_host/sanitizer.h"

namespace cuda_host {
namespace {

// CUDA programming guide, "Technical specifications per compute capability".
bool is_valid(dim3 grid, dim3 block) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 && grid.x <= INT32_MAX && grid.y >= 1 &&
         grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
}

}  // namespace

cudaError_t launch(dim3 grid, dim3 block, int64_t dynamic_shared_bytes, void (*body)(const void*), const void* argument) {
  if (dynamic_shared_bytes < 0 || dynamic_shared_bytes > shared_bytes_per_block) return cudaErrorInvalidValue;
  if (!is_valid(grid, block)) return cudaErrorInvalidConfiguration;
  if (current != nullptr) throw Error("a kernel launches a kernel");

  block_size = block;
  grid_size = grid;
  begin_launch_of_shared(dynamic_shared_bytes);
  begin_launch_of_copies();
  race::launch_begins();
  const CatchFaults catch_faults;
  std::vector<uint64_t> order(uint64_t{grid.x} * grid.y * grid.z);
  for (uint64_t i = 0; i < order.size(); ++i) {
    const uint64_t j = static_cast<uint64_t>(generator().integer(0, static_cast<int64_t>(i)));
    order[i] = order[j];
    order[j] = i;
  }
  for (const uint64_t i : order) {
    block_index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y)};
    begin_block_of_shared();
    begin_block_of_copies();
    run_block(body, argument);
  }
  check_slack("a kernel");
  return cudaSuccess;
}

bool is_asan_build() { return __asan_poison_memory_region != nullptr; }
bool is_race_build() { return race::enabled(); }

}  // namespace cuda_host
