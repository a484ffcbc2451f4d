#include "tests/cpp/cuda_host/atomics.h"

#include <cstdint>

#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/fault.h"
#include "tests/cpp/cuda_host/race.h"

namespace cuda_host {
namespace {

// What every atomic operation begins with. Returns what *p holds.
template <class T>
T begin(T* p, Site site) {
  yield(site);
  if (reinterpret_cast<uintptr_t>(p) % sizeof(T) != 0)
    fail(site, "an atomic operation on %p, which is not aligned", static_cast<void*>(p));
  race::access(*current, p, sizeof(T), race::Access::atomic, site);
  act_for(site);
  const T old = *p;
  act_for_nobody();
  return old;
}

}  // namespace

template <class T>
T atomic(T* p, T argument, T (*operation)(T, T), Site site) {
  const T old = begin(p, site);
  *p = operation(old, argument);
  return old;
}

template <class T>
T atomic_compare_and_swap(T* p, T expected, T desired, Site site) {
  const T old = begin(p, site);
  if (old == expected) *p = desired;
  return old;
}

template int atomic(int*, int, int (*)(int, int), Site);
template unsigned atomic(unsigned*, unsigned, unsigned (*)(unsigned, unsigned), Site);
template unsigned long long atomic(unsigned long long*, unsigned long long,
                                   unsigned long long (*)(unsigned long long, unsigned long long), Site);
template float atomic(float*, float, float (*)(float, float), Site);
template int atomic_compare_and_swap(int*, int, int, Site);
template unsigned atomic_compare_and_swap(unsigned*, unsigned, unsigned, Site);
template unsigned long long atomic_compare_and_swap(unsigned long long*, unsigned long long, unsigned long long, Site);

}  // namespace cuda_host
