// A block of CUDA threads, each a fiber, that take turns in a random order: the scheduler.
#pragma once

#include <driver_types.h>
#include <vector_types.h>

#include <cstdint>
#include <vector>

#include "tests/cpp/cuda_host/async_copy.h"
#include "tests/cpp/cuda_host/error.h"
#include "tests/cpp/cuda_host/fiber.h"
#include "tests/cpp/random.h"

namespace cuda_host {

constexpr unsigned warp_lanes = 32;

struct Warp;

struct Thread : Fiber {
  uint3 index;      // threadIdx
  unsigned linear;  // threadIdx as one number: x fastest
  unsigned lane;
  Warp* warp;
  const char* waits_for;  // what it is blocked at, null if it is not
  Site waits_at;
  AsyncCopies copies;
};

// A warp-level operation that waits for the lanes of its mask.
struct Rendezvous {
  const char* name;
  unsigned mask, arrived;
  Site site;
  Warp* warp;
  const void* in[warp_lanes];  // by lane: what it brings, and where it wants its result
  void* out[warp_lanes];

  bool has(unsigned lane) const { return mask >> lane & 1; }
};

struct Warp {
  unsigned number;
  unsigned alive, ready;  // lanes, as masks: that have not returned; that can go on
  std::vector<Rendezvous> pending;
};

// The thread that runs, null outside a kernel.
extern Thread* current;
// The thread's and block's place: threadIdx, blockIdx, blockDim and gridDim are these.
extern uint3 thread_index, block_index;
extern dim3 block_size, grid_size;

Thread* thread_of(const Warp& warp, unsigned lane);
const std::vector<Thread*>& threads_of_block();
// Of the launches; TORCHAO_OPS_TEST_SEED decides where it begins.
torchao_ops::test::Random& generator();
unsigned random_below(unsigned count);

// Runs block_index to its end; each thread calls body(argument). Throws an Error if a thread failed or all wait for ever.
void run_block(void (*body)(const void* argument), const void* argument);

// ---- called by threads ----

// Lets others run.
void yield(Site site);
// Waits until another thread makes this one ready.
void block_on(const char* what, Site site);
void make_ready(Thread* thread);
// This thread has made others ready, and is itself no more privileged than they are.
void reschedule();

// __syncthreads.
void block_barrier(Site site);

}  // namespace cuda_host
