// Cooperative threads of execution, each on a stack of its own (Boost.Context's fcontext: a switch takes some 5 ns).
#pragma once

#include <cstddef>

namespace cuda_host {

struct Fiber {
  void* context = nullptr;
  // The stack. Of the fiber that the program itself runs on, which has no stack from here, the first switch learns it (ASAN wants to know).
  char* stack = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // ASAN's
};

// Gives the fiber a stack that ends at an unmapped page. `color` varies where on its pages the stack begins: if all began at the same offset, they
// would compete for the same few lines of the cache.
void allocate_stack(Fiber* fiber, unsigned color);
// The next switch to the fiber enters `run`, which must not return.
void prepare(Fiber* fiber, void (*run)());
// Continues `to`; returns when something switches back to `from`. A fiber that `ends` is never switched back to.
void switch_fiber(Fiber* from, Fiber* to, bool ends = false);
// Whether an address lies in the pages of the fiber's stack, or in the unmapped page below it.
inline bool is_on_stack(const Fiber& fiber, const void* address) {
  return static_cast<size_t>(static_cast<const char*>(address) - fiber.stack) < fiber.stack_bytes;
}
bool is_below_stack(const Fiber& fiber, const void* address);

}  // namespace cuda_host
