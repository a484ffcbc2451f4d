// cp.async: copies from global to shared memory whose result must not be looked at before the thread has waited for it.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/cpp/cuda_host/error.h"

namespace cuda_host {

struct Thread;

struct AsyncCopy {
  char* to;
  const char* from;
  int bytes, source_bytes;
  bool landed;
  int64_t group;
  Site site;
};

// Of one thread.
struct AsyncCopies {
  std::vector<AsyncCopy> in_flight;  // in the order of issue
  int64_t open_group = 0;            // the groups before it are committed
};

// When the bytes of a copy arrive. They may do so at any moment between issue and the wait that asks for them; `random` shows what a kernel does wrong
// with bytes that come early, `late` with those that come late.
enum class Landing { late, random };

void copy_async(void* to, const void* from, int bytes, int source_bytes, Site site);
void commit_copies();
// Until at most `pending` groups have not landed.
void wait_for_copies(int pending);

// In mode Landing::random, at a moment that the scheduler chooses.
void land_a_random_copy();
// The thread returns from the kernel.
void check_no_copy_in_flight(const Thread& thread);

// Landing of the next launches. By default each launch draws it.
void set_landing(Landing landing);
void draw_landing();
void begin_launch_of_copies();
void begin_block_of_copies();

}  // namespace cuda_host
