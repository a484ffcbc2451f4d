#include "tests/cpp/cuda_host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/cpp/cuda_host/sanitizer.h"

namespace cuda_host {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

// Kernels keep little on the stack; UBSAN's reports, which are written on it, need some 100 KB.
constexpr size_t stack_bytes = size_t{256} << 10;
// Colors: 32 lines of the cache apart, within 4 pages.
constexpr size_t color_step_bytes = 32 * 64 + 64, colors = 7;

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

Fiber* running;       // the fiber that is being entered, until it has arrived
void (*run_fiber)();  // what it runs

// First thing on the new stack after a switch.
void arrive(Fiber* self, transfer_t transfer) {
  Fiber* previous = static_cast<Fiber*>(transfer.data);
  previous->context = transfer.fctx;
  if (__sanitizer_finish_switch_fiber == nullptr) return;
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &bytes);
  if (previous->stack == nullptr) {
    previous->stack = static_cast<char*>(const_cast<void*>(bottom));
    previous->stack_bytes = bytes;
  }
}

void enter(transfer_t transfer) {
  arrive(running, transfer);
  run_fiber();
  std::abort();
}

}  // namespace

void allocate_stack(Fiber* fiber, unsigned color) {
  const size_t page = page_bytes(), top_bytes = color % colors * color_step_bytes;
  const size_t mapped = page + stack_bytes + (top_bytes + page - 1) / page * page;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
    std::perror("stack of a fiber");
    std::abort();
  }
  fiber->stack = static_cast<char*>(memory) + page;
  fiber->stack_bytes = mapped - page - top_bytes;
}

void prepare(Fiber* fiber, void (*run)()) {
  run_fiber = run;
  fiber->fake_stack = nullptr;
  fiber->context = make_fcontext(fiber->stack + fiber->stack_bytes, fiber->stack_bytes, enter);
}

void switch_fiber(Fiber* from, Fiber* to, bool ends) {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake_stack, to->stack, to->stack_bytes);
  }
  running = to;
  arrive(from, jump_fcontext(to->context, from));
}

bool is_below_stack(const Fiber& fiber, const void* address) {
  const char* p = static_cast<const char*>(address);
  return p < fiber.stack && p >= fiber.stack - page_bytes();
}

}  // namespace cuda_host
