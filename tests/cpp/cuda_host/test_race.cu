// What the race build reports, and what it must not report. Compiled for that build only.
#include <cstring>

#include "tests/cpp/cuda_host/self_test.h"

namespace cuda_host::self_test {
namespace {

// ---- shared memory: the block ----

__global__ void block_barrier_kernel(int* out, bool before_read, bool before_write) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [64]);
  const unsigned thread = threadIdx.x;
  values[thread] = static_cast<int>(thread);
  if (before_read) __syncthreads();
  out[thread] = values[63 - thread];
  if (before_write) __syncthreads();
  values[thread] = 0;
}

TEST(Race, MissingBlockBarrier) {
  const DeviceArray<int> out(64);
  EXPECT_NO_ERROR(error_of(block_barrier_kernel, 1, 64, 0, out.data(), true, true));
  // The reader may come first: then it reads what nobody has written.
  EXPECT_ERROR("of values, ", error_of(block_barrier_kernel, 1, 64, 0, out.data(), false, true));
  EXPECT_ERROR("of values, which thread", error_of(block_barrier_kernel, 1, 64, 0, out.data(), true, false));
  EXPECT_ERROR("and nothing orders the two", error_of(block_barrier_kernel, 1, 64, 0, out.data(), true, false));
}

__global__ void same_word_kernel(bool bytes) {
  TORCHAO_OPS_SHARED_ARRAY(uint8_t, values, [64]);
  values[bytes ? threadIdx.x : 0] = 1;
}

TEST(Race, TwoWritesToAByte) {
  EXPECT_NO_ERROR(error_of(same_word_kernel, 1, 64, 0, true));
  EXPECT_ERROR("writes offset 0 of values, which thread", error_of(same_word_kernel, 1, 64, 0, false));
  EXPECT_ERROR("writes offset 0 of values, which thread", error_of(same_word_kernel, 1, 2, 0, false));
}

// Thread `writer` writes what threads 0, 32 and 64, of three warps, have read.
__global__ void three_readers_kernel(unsigned writer, bool with_barrier, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, value, [1]);
  if (threadIdx.x == 0) value[0] = 1;
  __syncthreads();
  if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = value[0];
  if (with_barrier) __syncthreads();
  if (threadIdx.x == writer) value[0] = 2;
}

TEST(Race, AWriteAfterReadsByManyWarps) {
  const DeviceArray<int> out(3);
  for (const unsigned writer : {0u, 32u, 33u, 64u}) {
    EXPECT_NO_ERROR(error_of(three_readers_kernel, 1, 96, 0, writer, true, out.data()));
    EXPECT_ERROR("race: ", error_of(three_readers_kernel, 1, 96, 0, writer, false, out.data()));
  }
}

// ---- shared memory: the warp ----

// A lane writes for its neighbour, `to`, after a barrier of the lanes in `mask`.
__global__ void warp_barrier_kernel(unsigned mask, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [32]);
  const unsigned lane = threadIdx.x;
  values[lane] = static_cast<int>(lane);
  if (mask >> lane & 1) __syncwarp(mask);
  out[lane] = values[lane ^ 1];
}

TEST(Race, AWarpBarrierOrdersTheLanesOfItsMask) {
  const DeviceArray<int> out(32);
  EXPECT_NO_ERROR(error_of(warp_barrier_kernel, 1, 32, 0, 0xffffffffu, out.data()));
  EXPECT_ERROR("of values, ", error_of(warp_barrier_kernel, 1, 32, 0, 0u, out.data()));
  EXPECT_ERROR("of values, ", error_of(warp_barrier_kernel, 1, 32, 0, 0x0000ffffu, out.data()));
  EXPECT_ERROR("of values, ", error_of(warp_barrier_kernel, 1, 32, 0, 0x7fffffffu, out.data()));
}

__global__ void two_warps_kernel(int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [64]);
  values[threadIdx.x] = 1;
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 32];
}

TEST(Race, AWarpBarrierOrdersNoOtherWarp) {
  const DeviceArray<int> out(64);
  EXPECT_ERROR("of values, ", error_of(two_warps_kernel, 1, 64, 0, out.data()));
}

// Lane 0 writes, lane 3 reads. `chain` of barriers: 0-1, 1-2, 2-3 in an order that carries what lane 0 did to lane 3, or not.
__global__ void chain_kernel(bool in_order, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, value, [1]);
  const unsigned lane = threadIdx.x;
  if (lane == 0) {
    value[0] = 1;
    __syncwarp(0b0011);
  } else if (lane == 1) {
    if (in_order) __syncwarp(0b0011);
    __syncwarp(0b0110);
    if (!in_order) __syncwarp(0b0011);
  } else if (lane == 2) {
    __syncwarp(0b0110);
    __syncwarp(0b1100);
  } else if (lane == 3) {
    __syncwarp(0b1100);
    *out = value[0];
  }
}

TEST(Race, OrderIsCarriedAlongBarriersOfPairs) {
  const DeviceArray<int> out(1);
  EXPECT_NO_ERROR(error_of(chain_kernel, 1, 32, 0, true, out.data()));
  EXPECT_ERROR("of value, ", error_of(chain_kernel, 1, 32, 0, false, out.data()));
}

// All lanes read; lanes 0 and 1 meet; all read again; lane 0 writes after meeting the lanes of `mask`.
__global__ void reads_around_partial_barrier_kernel(unsigned mask, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, value, [1]);
  const unsigned lane = threadIdx.x;
  if (lane == 0) value[0] = 1;
  __syncwarp();
  int sum = value[0];
  if (lane < 2) __syncwarp(0b0011);
  sum += value[0];
  if (mask >> lane & 1) __syncwarp(mask);
  if (lane == 0) value[0] = sum;
  out[lane] = sum;
}

TEST(Race, ReadsOnBothSidesOfABarrierAreRemembered) {
  const DeviceArray<int> out(32);
  EXPECT_NO_ERROR(error_of(reads_around_partial_barrier_kernel, 1, 32, 0, 0xffffffffu, out.data()));
  EXPECT_ERROR("offset 0 of value, which thread",
               error_of(reads_around_partial_barrier_kernel, 1, 32, 0, 0x7fffffffu, out.data()));
  EXPECT_ERROR("offset 0 of value, which thread",
               error_of(reads_around_partial_barrier_kernel, 1, 32, 0, 0xfffffffbu, out.data()));
}

// Values are exchanged by a shuffle, which orders no memory.
__global__ void shuffle_orders_nothing_kernel(int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [32]);
  values[threadIdx.x] = 1;
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 0, 1) + values[threadIdx.x ^ 1];
}

TEST(Race, AShuffleIsNoBarrier) {
  const DeviceArray<int> out(32);
  EXPECT_ERROR("of values, which thread", error_of(shuffle_orders_nothing_kernel, 1, 32, 0, out.data()));
}

// ---- every kind of access is seen ----

struct Twelve {
  int a, b, c;
};

enum class How { assignment, memcpy_, memset_, uint4_, structure, ldmatrix, cp_async };

// Thread 33 reads 16 bytes that thread 0 writes, or all lanes of its warp where it takes that.
__global__ void access_kernel(How how, bool with_barrier, const char* in, int* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, values, [8]);
  const unsigned thread = threadIdx.x;
  if (thread < 32) {
    switch (how) {
      case How::memcpy_: memcpy(values, in + 16 * (thread % 8), thread == 0 ? 96 : 0); break;
      case How::memset_: memset(values, 1, thread == 0 ? 96 : 0); break;
      case How::structure:
        if (thread == 0) *reinterpret_cast<Twelve*>(values) = {1, 2, 3};
        break;
      case How::cp_async:
        if (thread < 8) ptx::cp_async_16(&values[thread], in);
        ptx::cp_async_commit();
        ptx::cp_async_wait<0>();
        break;
      default:
        if (thread < 8) values[thread] = make_uint4(1, 2, 3, 4);
    }
  }
  if (with_barrier) __syncthreads();
  if (thread < 32) return;
  switch (how) {
    case How::memcpy_:
    case How::memset_: {
      Twelve twelve;
      memcpy(&twelve, values, sizeof(twelve));
      if (thread == 33) *out = twelve.c;
      break;
    }
    case How::ldmatrix: {
      uint32_t r[4];
      ptx::ldmatrix_x4(r, &values[thread % 8]);
      break;
    }
    case How::uint4_: {
      const uint4 v = values[0];
      if (thread == 33) *out = static_cast<int>(v.w);
      break;
    }
    case How::structure: {
      const Twelve twelve = *reinterpret_cast<const Twelve*>(values);
      if (thread == 33) *out = twelve.c;
      break;
    }
    default:
      if (thread == 33) *out = static_cast<int>(values[0].x);
  }
}

TEST(Race, EveryKindOfAccessIsSeen) {
  const DeviceArray<char> in(256);
  const DeviceArray<int> out(1);
  for (const How how : {How::assignment, How::memcpy_, How::memset_, How::uint4_, How::structure, How::ldmatrix, How::cp_async}) {
    EXPECT_NO_ERROR(error_of(access_kernel, 1, 64, 0, how, true, in.data(), out.data()));
    EXPECT_ERROR("of values, ", error_of(access_kernel, 1, 64, 0, how, false, in.data(), out.data()));
  }
}

// ---- cp.async ----

// Lane l copies what lane l ^ 1 reads. Barriers: after the wait, and before the next copy to the same place.
__global__ void ring_kernel(const uint4* in, int steps, bool after_wait, bool before_copy, unsigned* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, stages, [2][32]);
  const unsigned lane = threadIdx.x;
  unsigned sum = 0;
  auto copy = [&](int step) {
    if (step < steps) ptx::cp_async_16(&stages[step % 2][lane], in + step * 32 + lane);
    ptx::cp_async_commit();
  };
  copy(0);
  for (int step = 0; step < steps; ++step) {
    copy(step + 1);
    ptx::cp_async_wait<1>();
    if (after_wait) __syncwarp();
    sum += stages[step % 2][lane ^ 1].x;
    if (before_copy) __syncwarp();
  }
  ptx::cp_async_wait<0>();
  out[lane] = sum;
}

TEST(Race, ARingNeedsTwoBarriers) {
  const DeviceArray<uint4> in(32 * 5);
  const DeviceArray<unsigned> out(32);
  in.fill(make_uint4(1, 1, 1, 1));
  EXPECT_NO_ERROR(error_of(ring_kernel, 1, 32, 0, in.data(), 5, true, true, out.data()));
  EXPECT_EQ(out[7], 5u);
  EXPECT_ERROR("of stages, ", error_of(ring_kernel, 1, 32, 0, in.data(), 5, false, true, out.data()));
  EXPECT_ERROR("of stages, ", error_of(ring_kernel, 1, 32, 0, in.data(), 5, true, false, out.data()));
}

__global__ void source_is_written_kernel(uint4* in, bool before_wait) {
  TORCHAO_OPS_SHARED_ARRAY(uint4, staged, [1]);
  if (threadIdx.x == 0) {
    ptx::cp_async_16(staged, in);
    ptx::cp_async_commit();
  }
  if (!before_wait) ptx::cp_async_wait<0>();
  __syncthreads();
  if (threadIdx.x == 1) in[0] = make_uint4(0, 0, 0, 0);
  ptx::cp_async_wait<0>();
}

TEST(Race, ACopyReadsItsSourceUntilTheWait) {
  const DeviceArray<uint4> in(1);
  EXPECT_NO_ERROR(error_of(source_is_written_kernel, 1, 32, 0, in.data(), false));
  EXPECT_ERROR("of an allocation, which thread", error_of(source_is_written_kernel, 1, 32, 0, in.data(), true));
}

// ---- global memory ----

enum class Global { own, same_write, neighbour_read, own_and_barrier, atomics, atomic_and_read, all_read };

__global__ void global_kernel(Global what, int* values, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, count = gridDim.x * blockDim.x, neighbour = (i + blockDim.x) % count;
  switch (what) {
    case Global::own:
      values[i] = 1;
      out[i] = values[i];
      break;
    case Global::same_write: values[threadIdx.x] = 1; break;
    case Global::neighbour_read:
      values[i] = 1;
      out[i] = values[neighbour];
      break;
    case Global::own_and_barrier:
      values[i] = 1;
      __syncthreads();
      out[i] = values[i ^ 1];
      break;
    case Global::atomics: atomicAdd(values, 1); break;
    case Global::atomic_and_read:
      if (i == 0) atomicAdd(values, 1);
      if (i == blockDim.x) out[i] = values[0];
      break;
    case Global::all_read: out[i] = values[0]; break;
  }
}

TEST(Race, BlocksAreNotOrdered) {
  const DeviceArray<int> values(3 * 64), out(3 * 64);
  values.fill(0);
  auto error = [&](Global what, unsigned blocks) {
    return error_of(global_kernel, blocks, 64, 0, what, values.data(), out.data());
  };
  for (const Global what : {Global::own, Global::own_and_barrier, Global::atomics, Global::all_read})
    EXPECT_NO_ERROR(error(what, 3));
  EXPECT_NO_ERROR(error(Global::same_write, 1));
  EXPECT_ERROR("of another block wrote at test_race.cu:", error(Global::same_write, 3));
  EXPECT_ERROR("of another block", error(Global::neighbour_read, 3));
  EXPECT_ERROR("of another block", error(Global::atomic_and_read, 3));
}

TEST(Race, LaunchesAreOrdered) {
  const DeviceArray<int> values(3 * 64), out(3 * 64);
  values.fill(0);
  for (const Global what : {Global::own, Global::all_read, Global::atomics, Global::own}) {
    EXPECT_EQ("", error_of(global_kernel, 3, 64, 0, what, values.data(), out.data()));
  }
}

__global__ void global_without_barrier_kernel(int* values, int* out) {
  values[threadIdx.x] = 1;
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

TEST(Race, ThreadsOfABlockNeedABarrierForGlobalMemoryToo) {
  const DeviceArray<int> values(32), out(32);
  EXPECT_ERROR("race: thread", error_of(global_without_barrier_kernel, 1, 32, 0, values.data(), out.data()));
}

}  // namespace
}  // namespace cuda_host::self_test
