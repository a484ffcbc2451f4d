#include "tests/cpp/cuda_host/block.h"

#include <cstdarg>
#include <cstdio>
#include <memory>
#include <string>

#include "tests/cpp/cuda_host/cuda_host.h"
#include "tests/cpp/cuda_host/fault.h"
#include "tests/cpp/cuda_host/memory.h"
#include "tests/cpp/cuda_host/race.h"
#include "tests/cpp/cuda_host/sanitizer.h"

namespace cuda_host {

Thread* current;
uint3 thread_index, block_index;
dim3 block_size, grid_size;

namespace {

// So many turns in a row in which threads only polled: they wait for something that no thread of the block does.
constexpr int64_t most_polls = 1'000'000;

std::vector<std::unique_ptr<Thread>> all_threads;  // their stacks are used again by every block
std::vector<Thread*> threads;                      // of the block
std::vector<Warp> warps;
unsigned live_threads;
uint32_t ready_warps;
unsigned last_warp;
// In how many of 1024 turns the scheduler stays with the warp it is at: in some blocks warps go nearly in step, in others far apart.
unsigned stay;
int64_t polls;

struct {
  unsigned arrived;
  Site site;
} barrier;

Fiber program;  // what called run_block()
std::string error;
void (*thread_body)(const void*);
const void* thread_argument;

torchao_ops::test::Random random_numbers{0};

unsigned count_bits(uint32_t mask) {  // the baseline's instruction set has none for it
  mask -= mask >> 1 & 0x55555555u;
  mask = (mask & 0x33333333u) + (mask >> 2 & 0x33333333u);
  return ((mask + (mask >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}

// One of the bits that are set, by 16 random bits.
unsigned pick_bit(uint32_t mask, uint64_t bits) {
  for (uint64_t skip = (bits & 0xffff) * count_bits(mask) >> 16; skip > 0; --skip) mask &= mask - 1;
  return static_cast<unsigned>(__builtin_ctz(mask));
}

// The thread whose turn is next, null if all wait.
Thread* pick() {
  land_a_random_copy();
  if (ready_warps == 0) return nullptr;
  const uint64_t bits = random_numbers.bits();
  if ((ready_warps >> last_warp & 1) == 0 || (bits & 1023) >= stay) {
    last_warp = pick_bit(ready_warps, bits >> 16);
  }
  Warp& warp = warps[last_warp];
  const unsigned lane = pick_bit(warp.ready, bits >> 32);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps &= ~(1u << last_warp);
  return thread_of(warp, lane);
}

void run(Thread* thread, Fiber* from, bool from_ends) {
  current = thread;
  thread_index = thread->index;
  switch_fiber(from, thread, from_ends);
}

void return_to_program(bool ends) {
  Thread* from = current;
  current = nullptr;
  switch_fiber(from, &program, ends);
}

std::string text_of(Site site) {
  std::string file = site.file;
  file.erase(0, file.rfind('/') + 1);
  return file + ":" + std::to_string(site.line);
}

[[noreturn]] void end_launch(const std::string& place, const char* format, va_list arguments) {
  char text[600], context[200];
  std::vsnprintf(text, sizeof(text), format, arguments);
  context[0] = 0;
  if (current != nullptr) {
    std::snprintf(context, sizeof(context), " [thread %u,%u,%u of block %u,%u,%u; TORCHAO_OPS_TEST_SEED=%llu]", thread_index.x,
                  thread_index.y, thread_index.z, block_index.x, block_index.y, block_index.z,
                  static_cast<unsigned long long>(torchao_ops::test::base_seed()));
  }
  const std::string message = (place.empty() ? "" : place + ": ") + text + context;
  if (current == nullptr) throw Error(message);
  error = message;
  return_to_program(false);
  std::abort();  // nothing switches back to a thread of a failed launch
}

void finish_thread() {
  Thread& thread = *current;
  check_no_copy_in_flight(thread);
  if (barrier.arrived > 0) fail(barrier.site, "__syncthreads: a thread returns from the kernel while others wait here");
  Warp& warp = *thread.warp;
  for (const Rendezvous& pending : warp.pending) {
    if (pending.has(thread.lane)) {
      fail(pending.site, "%s: lane %u returns from the kernel while others wait for it here", pending.name, thread.lane);
    }
  }
  warp.alive &= ~(1u << thread.lane);
  --live_threads;
  thread.waits_for = "the end";
  polls = 0;
  Thread* next = pick();
  if (next == nullptr) {
    return_to_program(true);
  } else {
    run(next, &thread, true);
  }
}

void run_thread() {
  thread_body(thread_argument);
  finish_thread();
}

void describe_deadlock() {
  constexpr unsigned most_named = 6;
  unsigned waiting = 0;
  error = "deadlock in block " + std::to_string(block_index.x) + "," + std::to_string(block_index.y) + "," +
          std::to_string(block_index.z) + ":";
  for (const Warp& warp : warps) {
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
      if ((warp.alive >> lane & 1) == 0 || ++waiting > most_named) continue;
      const Thread& thread = *thread_of(warp, lane);
      error +=
          "\n  thread " + std::to_string(thread.linear) + " waits for " + thread.waits_for + " at " + text_of(thread.waits_at);
    }
  }
  if (waiting > most_named) error += "\n  and " + std::to_string(waiting - most_named) + " more wait";
}

void set_up_threads() {
  const unsigned count = block_size.x * block_size.y * block_size.z;
  while (all_threads.size() < count) {
    all_threads.push_back(std::make_unique<Thread>());
    allocate_stack(all_threads.back().get(), static_cast<unsigned>(all_threads.size()));
  }
  threads.clear();
  warps.assign((count + warp_lanes - 1) / warp_lanes, {});
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = *all_threads[i];
    Warp& warp = warps[i / warp_lanes];
    thread.linear = i;
    thread.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
    thread.lane = i % warp_lanes;
    thread.warp = &warp;
    thread.waits_for = nullptr;
    thread.copies.in_flight.clear();
    thread.copies.open_group = 0;
    warp.number = i / warp_lanes;
    warp.alive |= 1u << thread.lane;
    prepare(&thread, run_thread);
    threads.push_back(&thread);
    make_ready(&thread);
  }
  live_threads = count;
}

}  // namespace

void fail(Site site, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  end_launch(text_of(site), format, arguments);
}

void fail_at(const std::string& place, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  end_launch(place, format, arguments);
}

void reseed(uint64_t number) { random_numbers = torchao_ops::test::Random(number); }
torchao_ops::test::Random& generator() { return random_numbers; }
unsigned random_below(unsigned count) { return static_cast<unsigned>((random_numbers.bits() >> 32) * count >> 32); }

Thread* thread_of(const Warp& warp, unsigned lane) { return threads[warp.number * warp_lanes + lane]; }
const std::vector<Thread*>& threads_of_block() { return threads; }

void run_block(void (*body)(const void*), const void* argument) {
  thread_body = body;
  thread_argument = argument;
  ready_warps = 0;
  last_warp = 0;
  polls = 0;
  barrier.arrived = 0;
  error.clear();
  constexpr unsigned ways_to_stay[] = {0, 512, 960, 1024};
  stay = ways_to_stay[random_below(4)];
  program = {};
  act_for_nobody();
  set_up_threads();
  race::block_begins(static_cast<unsigned>(threads.size()));
  run(pick(), &program, false);
  if (error.empty() && live_threads > 0) describe_deadlock();
  if (error.empty()) return;
  for (const Thread* thread : threads) allow(thread->stack, thread->stack_bytes);  // the red zones of frames that were abandoned
  throw Error(error);
}

void make_ready(Thread* thread) {
  thread->warp->ready |= 1u << thread->lane;
  ready_warps |= 1u << thread->warp->number;
}

void reschedule() {
  Thread* self = current;
  Thread* next = pick();
  if (next == self) return;
  if (next == nullptr) {
    return_to_program(false);
  } else {
    run(next, self, false);
  }
}

void yield(Site site) {
  if (++polls > most_polls) fail(site, "threads have only polled memory for %lld turns", static_cast<long long>(most_polls));
  make_ready(current);
  last_warp =
      random_below(static_cast<unsigned>(warps.size()));  // or the warp would keep its turn, and what it polls would not come
  reschedule();
}

void block_on(const char* what, Site site) {
  Thread& thread = *current;
  thread.waits_for = what;
  thread.waits_at = site;
  polls = 0;
  reschedule();
  thread.waits_for = nullptr;
}

void block_barrier(Site site) {
  if (live_threads < threads.size()) {
    fail(site, "__syncthreads: %u threads of the block have returned already",
         static_cast<unsigned>(threads.size()) - live_threads);
  }
  if (barrier.arrived == 0) {
    barrier.site = site;
  } else if (!(barrier.site == site)) {
    fail(site, "__syncthreads: the block has diverged, other threads wait at %s", text_of(barrier.site).c_str());
  }
  if (++barrier.arrived < live_threads) {
    block_on("__syncthreads", site);
    return;
  }
  barrier.arrived = 0;
  race::block_barrier();
  for (Thread* thread : threads) make_ready(thread);
  reschedule();
}

}  // namespace cuda_host
