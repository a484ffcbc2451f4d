// One wrapper for each PTX instruction and for shared memory; everything else in csrc/cuda is plain CUDA C++ over these.
//
// Reference: PTX ISA 9.0, "Warp-level matrix instructions" for the fragments of mma and ldmatrix, "Asynchronous copy" for cp.async.
// tests/cpp/cuda_host/ptx_host.h gives the same functions their documented meaning on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifdef TORCHAO_OPS_CUDA_HOST
#include "tests/cpp/cuda_host/ptx_host.h"
#else

// T* name: the block's dynamic shared memory, aligned to 128 bytes.
#define TORCHAO_OPS_DYNAMIC_SHARED(T, name)                         \
  extern __shared__ __align__(128) unsigned char dynamic_shared_[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared_)
// An array in shared memory: TORCHAO_OPS_SHARED_ARRAY(float, sums, [4][32]).
#define TORCHAO_OPS_SHARED_ARRAY(T, name, dimensions) __shared__ T name dimensions

namespace torchao_ops::cuda::ptx {

__device__ __forceinline__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// d += a * b with a 16 x 16, b 16 x 8, d 16 x 8. Lane l, g = l / 4, t = l % 4, holds
//   a[0], a[1]: rows g, g + 8, columns 2t, 2t + 1;   a[2], a[3]: the same rows, columns 2t + 8, 2t + 9
//   b[0], b[1]: rows 2t, 2t + 1 and 2t + 8, 2t + 9 of column g
//   d[0], d[1]: row g, columns 2t, 2t + 1;           d[2], d[3]: row g + 8
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same for bytes, a 16 x 32, b 32 x 8, with 32-bit sums that wrap: a register holds four columns (4t..4t+3, +16) or rows.
__device__ __forceinline__ void mma_m16n8k32_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned to 16) and receives in
// r[j] columns 2t, 2t + 1 of row g of matrix j.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));  // no "memory": what it reads was written before a barrier, which is one
}
// (a & b) | c in one instruction: the compiler makes two of it where b and c are constants.
__device__ __forceinline__ uint32_t and_or(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(b), "r"(c));  // 0xea = (0xf0 & 0xcc) | 0xaa
  return d;
}

// Byte i of the result is that of the eight in b:a that nibble i of the selector names; bit 3 of a nibble must be 0. __byte_perm, which ignores that bit,
// adds instructions that clear it.
__device__ __forceinline__ uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
  return d;
}

// Copies from global to shared memory in the background, both aligned to the size; of the source only the first source_bytes are read, the rest
// of the destination becomes zero. What it wrote is visible to the thread after cp_async_wait, to others after a barrier as well.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, int source_bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(source_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async_8(void* shared, const void* global, int source_bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(source_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async_4(void* shared, const void* global, int source_bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(source_bytes)
               : "memory");
}
// All 16 bytes.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}
// Closes the group of this thread's copies since the last one.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `Pending` of this thread's groups are not complete.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace torchao_ops::cuda::ptx
#endif
