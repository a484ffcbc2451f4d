// Atomic operations: another thread may run before one, and none races with another.
#pragma once

#include "tests/cpp/cuda_host/error.h"

namespace cuda_host {

// *p = operation(*p, argument), and what *p was.
template <class T>
T atomic(T* p, T argument, T (*operation)(T, T), Site site);
template <class T>
T atomic_compare_and_swap(T* p, T expected, T desired, Site site);

}  // namespace cuda_host

#define CUDA_HOST_ATOMIC(function, T, expression)                                       \
  inline T function(T* p, T argument, cuda_host::Site site = cuda_host::Site::here()) { \
    return cuda_host::atomic<T>(                                                        \
        p, argument, [](T old, T value) -> T { return expression; }, site);             \
  }
#define CUDA_HOST_ATOMICS(T)                  \
  CUDA_HOST_ATOMIC(atomicAdd, T, old + value) \
  CUDA_HOST_ATOMIC(atomicExch, T, (void(old), value))
#define CUDA_HOST_INTEGER_ATOMICS(T)                                                                \
  CUDA_HOST_ATOMICS(T)                                                                              \
  CUDA_HOST_ATOMIC(atomicMax, T, old < value ? value : old)                                         \
  CUDA_HOST_ATOMIC(atomicMin, T, value < old ? value : old)                                         \
  inline T atomicCAS(T* p, T expected, T desired, cuda_host::Site site = cuda_host::Site::here()) { \
    return cuda_host::atomic_compare_and_swap<T>(p, expected, desired, site);                       \
  }

CUDA_HOST_INTEGER_ATOMICS(int)
CUDA_HOST_INTEGER_ATOMICS(unsigned)
CUDA_HOST_INTEGER_ATOMICS(unsigned long long)
CUDA_HOST_ATOMICS(float)

#undef CUDA_HOST_INTEGER_ATOMICS
#undef CUDA_HOST_ATOMICS
#undef CUDA_HOST_ATOMIC
