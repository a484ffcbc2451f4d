// In place of the toolkit's <cuda_runtime.h> when kernels are compiled as host C++: what the CUDA C++ language and its device functions have that
// C++ has not. The toolkit's own headers of types and of the runtime's functions are used as they are.
#pragma once

#ifndef TORCHAO_OPS_CUDA_HOST
#error "this header is for kernels that run on the host; compile with -DTORCHAO_OPS_CUDA_HOST"
#endif

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/cpp/cuda_host/atomics.h"
#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/warp.h"

// For a host compiler the toolkit defines __global__, __device__, __host__, __constant__ as nothing and __forceinline__ as what it says.
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static_assert(false, "declare shared memory with the macros of csrc/cuda/ptx.cuh");

// References, not macros: the toolkit's headers have parameters of these names.
inline const uint3& threadIdx = cuda_host::thread_index;
inline const uint3& blockIdx = cuda_host::block_index;
inline const dim3& blockDim = cuda_host::block_size;
inline const dim3& gridDim = cuda_host::grid_size;
constexpr int warpSize = cuda_host::warp_lanes;

// ---- barriers and exchange within a warp ----

inline void __syncthreads(cuda_host::Site site = cuda_host::Site::here()) { cuda_host::block_barrier(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, cuda_host::Site site = cuda_host::Site::here()) {
  cuda_host::sync_warp(mask, site);
}
inline void __threadfence() {}  // blocks run one after another, and atomic operations are ordered anyway
inline void __threadfence_block() {}
inline void __nanosleep(unsigned, cuda_host::Site site = cuda_host::Site::here()) { cuda_host::yield(site); }

namespace cuda_host {

template <class T>
T shuffled(const char* name, unsigned mask, T value, unsigned source_lane, Site site) {
  static_assert(std::is_trivially_copyable_v<T>);
  T result;
  shuffle(name, mask, &value, &result, sizeof(T), source_lane, site);
  return result;
}

// The first lane of this lane's segment of `width` lanes.
inline unsigned segment(int width) { return current->lane & ~(static_cast<unsigned>(width) - 1); }

}  // namespace cuda_host

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, cuda_host::Site site = cuda_host::Site::here()) {
  const unsigned within = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1);
  return cuda_host::shuffled("__shfl_sync", mask, value, cuda_host::segment(width) + within, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, cuda_host::Site site = cuda_host::Site::here()) {
  const unsigned lane = cuda_host::current->lane, source = lane ^ static_cast<unsigned>(lanes);
  const bool inside = source < cuda_host::segment(width) + static_cast<unsigned>(width);
  return cuda_host::shuffled("__shfl_xor_sync", mask, value, inside ? source : lane, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, cuda_host::Site site = cuda_host::Site::here()) {
  const unsigned lane = cuda_host::current->lane;
  const bool inside = lane >= cuda_host::segment(width) + distance;
  return cuda_host::shuffled("__shfl_up_sync", mask, value, inside ? lane - distance : lane, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, cuda_host::Site site = cuda_host::Site::here()) {
  const unsigned lane = cuda_host::current->lane;
  const bool inside = lane + distance < cuda_host::segment(width) + static_cast<unsigned>(width);
  return cuda_host::shuffled("__shfl_down_sync", mask, value, inside ? lane + distance : lane, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, cuda_host::Site site = cuda_host::Site::here()) {
  return cuda_host::ballot("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, cuda_host::Site site = cuda_host::Site::here()) {
  return cuda_host::ballot("__any_sync", mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, cuda_host::Site site = cuda_host::Site::here()) {
  return cuda_host::ballot("__all_sync", mask, predicate != 0, site) == mask;
}

// ---- arithmetic ----

template <class T>
T __ldg(const T* p) {
  return *p;
}

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }

inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }

// Rounds half to even; what an int cannot hold becomes the nearest that it can, NaN becomes 0.
inline int __float2int_rn(float value) {
  if (std::isnan(value)) return 0;
  if (value >= 0x1p31f) return INT32_MAX;
  if (value < -0x1p31f) return INT32_MIN;
  return static_cast<int>(std::nearbyint(value));
}
inline float __int2float_rn(int value) { return static_cast<float>(value); }

// Byte i of the result is the byte of the eight in b:a that nibble i of the selector names; bit 3 of a nibble spreads that byte's sign instead.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> 4 * i;
    unsigned byte = static_cast<unsigned>(bytes >> 8 * (nibble & 7)) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << 8 * i;
  }
  return result;
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value)); }

// a * b + c over the four bytes of a and b.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
  return c;
}

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}

// ---- the runtime's templates ----

template <class T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(memory), bytes);
}
