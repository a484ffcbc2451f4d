// The functions and macros of csrc/cuda/ptx.cuh with the meaning that the PTX ISA gives them, for kernels that run on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tests/cpp/cuda_host/async_copy.h"
#include "tests/cpp/cuda_host/memory.h"

#define TORCHAO_OPS_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(cuda_host::dynamic_shared())
#define TORCHAO_OPS_SHARED_ARRAY(T, name, dimensions)         \
  static const cuda_host::SharedArray name##_declared{#name}; \
  using name##_type = T dimensions;                           \
  name##_type& name = *static_cast<name##_type*>(             \
      cuda_host::static_shared(name##_declared, sizeof(name##_type), alignof(name##_type), cuda_host::Site{__FILE__, __LINE__}))

namespace torchao_ops::cuda::ptx {

using cuda_host::Site;

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site = Site::here());
void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site = Site::here());
void mma_m16n8k32_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site = Site::here());

void ldmatrix_x4(uint32_t (&r)[4], const void* row, Site site = Site::here());

inline uint32_t and_or(uint32_t a, uint32_t b, uint32_t c) { return (a & b) | c; }
inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) { return __byte_perm(a, b, selector); }

inline void cp_async_16(void* shared, const void* global, int source_bytes, Site site = Site::here()) {
  cuda_host::copy_async(shared, global, 16, source_bytes, site);
}
inline void cp_async_16(void* shared, const void* global, Site site = Site::here()) {
  cuda_host::copy_async(shared, global, 16, 16, site);
}
inline void cp_async_8(void* shared, const void* global, int source_bytes, Site site = Site::here()) {
  cuda_host::copy_async(shared, global, 8, source_bytes, site);
}
inline void cp_async_4(void* shared, const void* global, int source_bytes, Site site = Site::here()) {
  cuda_host::copy_async(shared, global, 4, source_bytes, site);
}
inline void cp_async_commit() { cuda_host::commit_copies(); }
template <int Pending>
void cp_async_wait() {
  cuda_host::wait_for_copies(Pending);
}

}  // namespace torchao_ops::cuda::ptx
