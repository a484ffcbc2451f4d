// Threads, barriers, exchange within a warp, atomic operations, arithmetic, and what launches are refused.
#include <array>
#include <set>
#include <vector>

#include "tests/cpp/cuda_host/self_test.h"

namespace cuda_host::self_test {
namespace {

constexpr unsigned all_lanes = 0xffffffffu;

// ---- threads and blocks ----

__global__ void count_visits_kernel(int* visits) {
  const dim3 g = gridDim, b = blockDim;
  const uint3 i = blockIdx, t = threadIdx;
  const unsigned block = (i.z * g.y + i.y) * g.x + i.x;
  ++visits[((block * b.z + t.z) * b.y + t.y) * b.x + t.x];
}

TEST(Threads, EveryThreadOfEveryBlockRunsOnce) {
  const dim3 grid(3, 2, 2), block(5, 4, 2);
  const DeviceArray<int> visits(3 * 2 * 2 * 5 * 4 * 2);
  visits.fill(0);
  EXPECT_EQ("", error_of(count_visits_kernel, grid, block, 0, visits.data()));
  for (int64_t i = 0; i < visits.size(); ++i) EXPECT_EQ(visits[i], 1) << i;
}

__global__ void order_kernel(int* order, int* count) {
  order[atomicAdd(count, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> order_of_threads(uint64_t seed) {
  const DeviceArray<int> order(4 * 64), count(1);
  count[0] = 0;
  reseed(seed);
  EXPECT_EQ("", error_of(order_kernel, 4, 64, 0, order.data(), count.data()));
  return {order.data(), order.data() + order.size()};
}

TEST(Threads, RunInAnOrderThatTheSeedDecides) {
  std::set<std::vector<int>> seen;
  std::set<int> first_blocks, first_warps;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<int> order = order_of_threads(seed);
    EXPECT_EQ(order, order_of_threads(seed));
    EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), order.size());
    seen.insert(order);
    first_blocks.insert(order[0] / 64);
    first_warps.insert(order[0] / 32 % 2);
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(first_blocks.size(), 4u);
  EXPECT_EQ(first_warps.size(), 2u);
}

__global__ void recurse_kernel(int depth, int* sink) {
  volatile char frame[4096];
  frame[depth % 4096] = 1;
  if (depth > 0) recurse_kernel(depth - 1, sink);
  *sink = frame[depth % 4096];  // so that the frame lives on
}

TEST(Threads, AFullStackIsReported) {
  const DeviceArray<int> sink(1);
  EXPECT_EQ("", error_of(recurse_kernel, 1, 1, 0, 4, sink.data()));
  EXPECT_ERROR("the stack of a thread is full", error_of(recurse_kernel, 1, 1, 0, 1000, sink.data()));
}

// ---- launches ----

__global__ void nothing_kernel() {}

TEST(Launch, RefusesWhatADeviceRefuses) {
  auto error = [](dim3 grid, dim3 block, int64_t shared_bytes) {
    return enqueue(nothing_kernel, grid, block, shared_bytes, nullptr);
  };
  EXPECT_EQ(error(1, 1024, 0), cudaSuccess);
  EXPECT_EQ(error(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(1, dim3(32, 33), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(1, dim3(1, 1, 65), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(1, 0, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(0, 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(dim3(1, 65535), 1, 0), cudaSuccess);
  EXPECT_EQ(error(dim3(1, 65536), 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(dim3(1, 1, 65536), 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error(1, 1, 227 * 1024), cudaSuccess);
  EXPECT_EQ(error(1, 1, 227 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_EQ(error(1, 1, -1), cudaErrorInvalidValue);
}

__global__ void large_static_kernel() {
  TORCHAO_OPS_SHARED_ARRAY(char, large, [40 * 1024]);
  large[threadIdx.x] = 0;
}

TEST(Launch, StaticAndDynamicSharedMemoryTogetherAreLimited) {
  EXPECT_EQ("", error_of(large_static_kernel, 1, 1, (227 - 40) * 1024));
  EXPECT_ERROR("more than a block can have", error_of(large_static_kernel, 1, 1, (227 - 40) * 1024 + 1));
}

TEST(Launch, ConvertsArguments) {
  const DeviceArray<double> out(1);
  void (*kernel)(double, double*) = [](double value, double* result) { *result = value; };
  EXPECT_EQ(enqueue(kernel, 1, 1, 0, nullptr, 3, out.data()), cudaSuccess);
  EXPECT_EQ(out[0], 3.0);
}

// ---- __syncthreads ----

__global__ void reverse_kernel(int* out, bool with_barrier) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [128]);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (with_barrier) __syncthreads();
  out[threadIdx.x] = values[127 - threadIdx.x];
}

TEST(BlockBarrier, OrdersTheBlock) {
  const DeviceArray<int> out(128);
  for (int order = 0; order < orders; ++order) {
    ASSERT_EQ("", error_of(reverse_kernel, 1, 128, 0, out.data(), true));
    for (int i = 0; i < 128; ++i) ASSERT_EQ(out[i], 127 - i);
  }
}

TEST(BlockBarrier, WithoutItOtherValuesAreRead) {
  if (is_race_build()) return;  // it ends the kernel instead: Race.MissingBlockBarrier
  const DeviceArray<int> out(128);
  for (int order = 0; order < orders; ++order) {
    ASSERT_EQ("", error_of(reverse_kernel, 1, 128, 0, out.data(), false));
    int wrong = 0;
    for (int i = 0; i < 128; ++i) wrong += out[i] != 127 - i;
    EXPECT_GT(wrong, 0);
  }
}

__global__ void two_places_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void some_wait_kernel() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void wait_for_different_things_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

TEST(BlockBarrier, DivergenceIsReported) {
  EXPECT_ERROR("__syncthreads: the block has diverged, other threads wait at test_threads.cu:",
               error_of(two_places_kernel, 1, 64, 0));
  EXPECT_NO_ERROR(error_of(two_places_kernel, 1, 32, 0));
  // In one order they return first, in another the others wait first.
  EXPECT_ERROR("return", error_of(some_wait_kernel, 1, 64, 0));
  EXPECT_NO_ERROR(error_of(some_wait_kernel, 1, 32, 0));
}

TEST(BlockBarrier, DeadlockIsReported) {
  const std::string error = error_of(wait_for_different_things_kernel, 1, 64, 0);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "deadlock in block 0,0,0", error);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "waits for __syncthreads at test_threads.cu:", error);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "waits for __syncwarp at test_threads.cu:", error);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "and 58 more wait", error);
}

__global__ void fail_in_one_thread_kernel() {
  if (threadIdx.x == 40 && blockIdx.x == 2) __shfl_sync(1u, 0, 0);
  __syncthreads();
}

TEST(BlockBarrier, AnErrorNamesPlaceThreadAndSeed) {
  const std::string error = error_of(fail_in_one_thread_kernel, 3, 64, 0);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "test_threads.cu:", error);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "[thread 40,0,0 of block 2,0,0; TORCHAO_OPS_TEST_SEED=", error);
}

// ---- exchange within a warp ----

enum class Exchange { indexed, xor_, up, down };

__global__ void shuffle_kernel(Exchange exchange, int argument, int width, int* out) {
  const int lane = static_cast<int>(threadIdx.x), value = 100 + lane;
  switch (exchange) {
    case Exchange::indexed: out[lane] = __shfl_sync(all_lanes, value, argument, width); break;
    case Exchange::xor_: out[lane] = __shfl_xor_sync(all_lanes, value, argument, width); break;
    case Exchange::up: out[lane] = __shfl_up_sync(all_lanes, value, static_cast<unsigned>(argument), width); break;
    case Exchange::down: out[lane] = __shfl_down_sync(all_lanes, value, static_cast<unsigned>(argument), width); break;
  }
}

// From which lane each lane gets its value.
std::array<int, 32> sources(Exchange exchange, int argument, int width) {
  const DeviceArray<int> out(32);
  EXPECT_EQ("", error_of(shuffle_kernel, 1, 32, 0, exchange, argument, width, out.data()));
  std::array<int, 32> lanes;
  for (int i = 0; i < 32; ++i) lanes[static_cast<size_t>(i)] = out[i] - 100;
  return lanes;
}

TEST(Warp, Shuffles) {
  using Lanes = std::array<int, 32>;
  EXPECT_EQ(sources(Exchange::indexed, 5, 32),
            (Lanes{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}));
  EXPECT_EQ(sources(Exchange::indexed, 9, 8), (Lanes{1,  1,  1,  1,  1,  1,  1,  1,  9,  9,  9,  9,  9,  9,  9,  9,
                                                     17, 17, 17, 17, 17, 17, 17, 17, 25, 25, 25, 25, 25, 25, 25, 25}));
  EXPECT_EQ(sources(Exchange::xor_, 16, 32), (Lanes{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                                    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(sources(Exchange::xor_, 1, 32), (Lanes{1,  0,  3,  2,  5,  4,  7,  6,  9,  8,  11, 10, 13, 12, 15, 14,
                                                   17, 16, 19, 18, 21, 20, 23, 22, 25, 24, 27, 26, 29, 28, 31, 30}));
  EXPECT_EQ(sources(Exchange::up, 2, 32), (Lanes{0,  1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
                                                 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}));
  EXPECT_EQ(sources(Exchange::up, 3, 8), (Lanes{0,  1,  2,  0,  1,  2,  3,  4,  8,  9,  10, 8,  9,  10, 11, 12,
                                                16, 17, 18, 16, 17, 18, 19, 20, 24, 25, 26, 24, 25, 26, 27, 28}));
  EXPECT_EQ(sources(Exchange::down, 1, 32), (Lanes{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                                   17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 31}));
  EXPECT_EQ(sources(Exchange::down, 6, 8), (Lanes{6,  7,  2,  3,  4,  5,  6,  7,  14, 15, 10, 11, 12, 13, 14, 15,
                                                  22, 23, 18, 19, 20, 21, 22, 23, 30, 31, 26, 27, 28, 29, 30, 31}));
}

__global__ void vote_kernel(unsigned* out) {
  const unsigned lane = threadIdx.x;
  if (lane >= 24) return;
  const unsigned mask = 0x00ffffffu;
  out[4 * lane] = __ballot_sync(mask, lane % 3 == 0);
  out[4 * lane + 1] = static_cast<unsigned>(__any_sync(mask, lane == 23));
  out[4 * lane + 2] = static_cast<unsigned>(__all_sync(mask, lane < 24));
  out[4 * lane + 3] = static_cast<unsigned>(__all_sync(mask, lane < 23));
}

TEST(Warp, Votes) {
  const DeviceArray<unsigned> out(4 * 24);
  EXPECT_EQ("", error_of(vote_kernel, 1, 32, 0, out.data()));
  for (int lane = 0; lane < 24; ++lane) {
    EXPECT_EQ(out[4 * lane], 0x00249249u);
    EXPECT_EQ(out[4 * lane + 1], 1u);
    EXPECT_EQ(out[4 * lane + 2], 1u);
    EXPECT_EQ(out[4 * lane + 3], 0u);
  }
}

__global__ void half_warps_kernel(int* out) {
  const unsigned lane = threadIdx.x, mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  int value = static_cast<int>(lane);
  if (lane < 16) {
    value = __shfl_xor_sync(mask, value, 1);
  } else {
    value = __shfl_xor_sync(mask, value, 2);
    value = __shfl_xor_sync(mask, value, 1);
  }
  __syncwarp();
  out[lane] = value;
}

TEST(Warp, PartsGoTheirOwnWays) {
  const DeviceArray<int> out(32);
  EXPECT_NO_ERROR(error_of(half_warps_kernel, 1, 32, 0, out.data()));
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 16 ? i ^ 1 : i ^ 3);
}

__global__ void branch_kernel() {
  if (threadIdx.x < 16) __shfl_sync(all_lanes, 0, 0);
}
__global__ void two_shuffles_kernel() {
  if (threadIdx.x < 16) {
    __shfl_sync(all_lanes, 0, 0);
  } else {
    __shfl_sync(all_lanes, 0, 0);
  }
}
__global__ void different_operations_kernel() {
  if (threadIdx.x < 16) {
    __shfl_sync(all_lanes, 0, 0);
  } else {
    __ballot_sync(all_lanes, 0);
  }
}
__global__ void two_syncwarps_kernel() {  // allowed: a barrier of the warp counts lanes
  if (threadIdx.x < 16) {
    __syncwarp();
  } else {
    __syncwarp();
  }
}
__global__ void foreign_mask_kernel() { __shfl_sync(1u, 0, 0); }
__global__ void outside_mask_kernel() {
  if (threadIdx.x < 8) __shfl_sync(0xffu, 0, 8);
}
__global__ void after_return_kernel() {
  if (threadIdx.x == 31) return;
  __syncwarp();
}
__global__ void short_warp_kernel() { __syncwarp(); }

TEST(Warp, MisuseIsReported) {
  EXPECT_ERROR("return", error_of(branch_kernel, 1, 32, 0));
  EXPECT_ERROR("__shfl_sync: the warp has diverged", error_of(two_shuffles_kernel, 1, 32, 0));
  EXPECT_ERROR("the warp has diverged, other lanes wait at", error_of(different_operations_kernel, 1, 32, 0));
  EXPECT_NO_ERROR(error_of(two_syncwarps_kernel, 1, 32, 0));
  EXPECT_ERROR("is not in its own mask 00000001", error_of(foreign_mask_kernel, 1, 32, 0));
  EXPECT_ERROR("reads from lane 8, which is not in the mask 000000ff", error_of(outside_mask_kernel, 1, 32, 0));
  EXPECT_ERROR("return", error_of(after_return_kernel, 1, 32, 0));
  EXPECT_ERROR("the mask ffffffff has lanes that have returned or do not exist", error_of(short_warp_kernel, 1, 24, 0));
}

// ---- atomic operations ----

__global__ void atomics_kernel(int* sums, unsigned long long* large, float* real) {
  const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&sums[0], thread);
  atomicMax(&sums[1], thread * 37 % 256);
  atomicMin(&sums[2], thread * 37 % 256);
  atomicExch(&sums[3], thread);
  atomicAdd(large, 1ull << 40);
  atomicAdd(real, 0.5f);
  while (true) {  // sums[4] += 2
    const int old = atomicAdd(&sums[4], 0);
    if (atomicCAS(&sums[4], old, old + 2) == old) break;
  }
}

TEST(Atomics, ExcludeEachOther) {
  const DeviceArray<int> sums(5);
  const DeviceArray<unsigned long long> large(1);
  const DeviceArray<float> real(1);
  for (int order = 0; order < orders; ++order) {
    sums.fill(0);
    sums[2] = 1000;
    large[0] = 1;
    real[0] = 0.25f;
    ASSERT_EQ("", error_of(atomics_kernel, 4, 64, 0, sums.data(), large.data(), real.data()));
    EXPECT_EQ(sums[0], 256 * 255 / 2);
    EXPECT_EQ(sums[1], 255);
    EXPECT_EQ(sums[2], 0);
    EXPECT_TRUE(sums[3] >= 0 && sums[3] < 256);
    EXPECT_EQ(sums[4], 512);
    EXPECT_EQ(large[0], 256ull * (1ull << 40) + 1);
    EXPECT_EQ(real[0], 128.25f);
  }
}

__global__ void lost_update_kernel(int* sum) {
  const int old = atomicAdd(sum, 0);
  atomicExch(sum, old + 1);
}

TEST(Atomics, OthersRunBetweenTwo) {
  const DeviceArray<int> sum(1);
  for (int order = 0; order < orders; ++order) {
    sum[0] = 0;
    ASSERT_EQ("", error_of(lost_update_kernel, 1, 256, 0, sum.data()));
    EXPECT_LT(sum[0], 256);
  }
}

__global__ void wait_for_flag_kernel(int* flag, int* out) {
  if (threadIdx.x == 0) atomicExch(flag, 1);
  if (threadIdx.x == 33) {
    while (atomicAdd(flag, 0) == 0) {
    }
    *out = 1;
  }
}
__global__ void wait_for_nothing_kernel(int* flag) {
  while (atomicAdd(flag, 0) == 0) {
  }
}

TEST(Atomics, PollingLetsOthersRun) {
  const DeviceArray<int> flag(1), out(1);
  for (int order = 0; order < orders; ++order) {
    flag[0] = 0;
    ASSERT_EQ("", error_of(wait_for_flag_kernel, 1, 64, 0, flag.data(), out.data()));
    EXPECT_EQ(out[0], 1);
  }
  flag[0] = 0;
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "threads have only polled memory",
                      error_of(wait_for_nothing_kernel, 1, 32, 0, flag.data()));
}

__global__ void misaligned_atomic_kernel(char* p) { atomicAdd(reinterpret_cast<int*>(p + 2), 1); }

TEST(Atomics, MisalignmentIsReported) {
  const DeviceArray<char> bytes(8);
  EXPECT_ERROR("not aligned", error_of(misaligned_atomic_kernel, 1, 1, 0, bytes.data()));
}

// ---- arithmetic ----

TEST(Arithmetic, BytePermute) {
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x3210u), 0x33221100u);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x7531u), 0x77553311u);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x0246u), 0x00224466u);
  EXPECT_EQ(__byte_perm(0x807f0000u, 0, 0x00bau), 0x0000ff00u);  // with bit 3: the sign of bytes 3 and 2
}

TEST(Arithmetic, ConversionToInt) {
  EXPECT_EQ(__float2int_rn(2.5f), 2);
  EXPECT_EQ(__float2int_rn(3.5f), 4);
  EXPECT_EQ(__float2int_rn(-0.5f), 0);
  EXPECT_EQ(__float2int_rn(-1.5f), -2);
  EXPECT_EQ(__float2int_rn(1e10f), INT32_MAX);
  EXPECT_EQ(__float2int_rn(-1e10f), INT32_MIN);
  EXPECT_EQ(__float2int_rn(-0x1p31f), INT32_MIN);
  EXPECT_EQ(__float2int_rn(NAN), 0);
}

TEST(Arithmetic, RoundsOnce) {
  const float a = 1 + 0x1p-12f;  // a * a = 1 + 2^-11 + 2^-24
  EXPECT_EQ(__fmaf_rn(a, a, -1 - 0x1p-11f), 0x1p-24f);
  EXPECT_EQ(__fadd_rn(__fmul_rn(a, a), -1 - 0x1p-11f), 0.0f);
  EXPECT_EQ(__fdiv_rn(1, 3), 0x1.555556p-2f);
}

TEST(Arithmetic, Bits) {
  EXPECT_EQ(__float_as_uint(-2.0f), 0xc0000000u);
  EXPECT_EQ(__uint_as_float(0x3f800000u), 1.0f);
  EXPECT_EQ(__float_as_int(1.0f), 0x3f800000);
  EXPECT_EQ(__int_as_float(0x40000000), 2.0f);
  EXPECT_EQ(__popc(0xf00fu), 8);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__dp4a(static_cast<int>(0xff020304u), 0x7f010203, 10), -127 + 2 + 6 + 12 + 10);
  EXPECT_EQ(min(3, 2ll), 2);
  EXPECT_EQ(max(3u, 2u), 3u);
}

}  // namespace
}  // namespace cuda_host::self_test
