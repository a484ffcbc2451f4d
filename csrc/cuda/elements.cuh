// Elements of arrays: float types, packed codes, groups; and the grid of kernels that treat a matrix element by element.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "csrc/cuda/device.h"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// Calls body(T{}) with the type that CUDA has for a FloatType: float, __half or __nv_bfloat16.
template <class Body>
auto with_float_type(FloatType type, const Body& body) {
  switch (type) {
    case FloatType::f16: return body(__half{});
    case FloatType::bf16: return body(__nv_bfloat16{});
    case FloatType::f32: break;
  }
  return body(float{});
}

// Rounds to nearest even. A NaN stays one, with the payload that the hardware gives it.
template <class T>
__device__ __forceinline__ T round_to(float value);
template <>
__device__ __forceinline__ float round_to<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half round_to<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 round_to<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// Exact.
__device__ __forceinline__ float to_float32(float value) { return value; }
__device__ __forceinline__ float to_float32(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float32(__nv_bfloat16 value) { return __bfloat162float(value); }

// The 8 elements k, ..., k + 7 of a row of K, zeros from K on.
template <class T>
__device__ __forceinline__ void load_octet(const T* row, int64_t k, int64_t K, float (&values)[8]) {
  const T* elements = row + k;
  if (k + 8 <= K && reinterpret_cast<uintptr_t>(elements) % 16 == 0) {
    alignas(16) T copies[8];
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(copies) / 16); ++i) {
      reinterpret_cast<uint4*>(copies)[i] = reinterpret_cast<const uint4*>(elements)[i];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = to_float32(copies[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = k + i < K ? to_float32(elements[i]) : 0.0f;
  }
}

// |value| as bits: unsigned integers in the order of the numbers, with Inf above all of them and NaN above Inf, so that one maximum finds these, too.
__device__ __forceinline__ uint32_t magnitude_bits(float value) { return float_bits(value) & 0x7fffffffu; }

__device__ __forceinline__ uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

__device__ __forceinline__ float quiet_nan() { return float_from_bits(0x7fc00000u); }

// k / group_size for 0 <= k < 2^32: a 32-bit division takes a GPU some 20 instructions, a 64-bit one 100 and a call.
__device__ __forceinline__ int64_t group_of(int64_t k, int64_t group_size) {
  return k < group_size ? 0 : static_cast<uint32_t>(k) / static_cast<uint32_t>(group_size);
}

// What the kernels here ask of a row, for the host side.
inline Status check_row_length(int64_t K) {
  return K <= UINT32_MAX ? Status::ok : set_last_error(Status::cuda_failed, "a CUDA kernel", "a row has 2^32 elements or more");
}

// Groups of a weight that begin anew in each row. What the kernels ask of a format's groups:
template <class Weight>
struct RowGroups {
  __device__ static int64_t group_at(const Weight& w, int64_t, int64_t k) { return group_of(k, w.group_size); }
  // Whether `count` elements from a multiple of `count` on, of any row, are always in one group.
  static bool in_one_group(const Weight& w, int64_t count) { return w.group_size % count == 0 || w.group_size >= w.K; }
  static Status check_size(const Weight& w) { return check_row_length(w.K); }
};

// The 8 codes k, ..., k + 7 of a row of int4 codes, code k in the lowest nibble, 0 from K on; k is a multiple of 8.
__device__ __forceinline__ uint32_t load_int4_octet(const uint8_t* row, int64_t k, int64_t K) {
  const uint8_t* bytes = row + k / 2;
  uint32_t codes = 0;
  if (k + 8 <= K && reinterpret_cast<uintptr_t>(bytes) % 4 == 0) {
    memcpy(&codes, __builtin_assume_aligned(bytes, 4), 4);
    return codes;
  }
  for (int i = 0; i < 8 && k + i < K; ++i) codes |= static_cast<uint32_t>(int4::code_of(bytes[i / 2], i)) << 4 * i;
  return codes;
}

// The same of int8 codes.
__device__ __forceinline__ uint64_t load_int8_octet(const uint8_t* row, int64_t k, int64_t K) {
  const uint8_t* bytes = row + k;
  uint64_t codes = 0;
  if (k + 8 <= K && reinterpret_cast<uintptr_t>(bytes) % 8 == 0) {
    memcpy(&codes, __builtin_assume_aligned(bytes, 8), 8);
    return codes;
  }
#pragma unroll 1
  for (int i = 0; i < 8 && k + i < K; ++i) codes |= static_cast<uint64_t>(bytes[i]) << 8 * i;
  return codes;
}

// As many blocks as there are, or the most that a grid has (CUDA programming guide, "Technical specifications"): along y a kernel advances by the
// size of the grid, along x there are always enough.
inline dim3 grid_of(int64_t x, int64_t y) {
  constexpr int64_t most_y = 65535;
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y < most_y ? y : most_y));
}

// A grid for `rows` x `columns` of things, a thread for each column: a warp along a row, for adjacent memory, or the block along a single one.
constexpr int matrix_threads = 256;

inline dim3 matrix_block(int64_t rows) { return rows == 1 ? dim3(matrix_threads) : dim3(32, matrix_threads / 32); }

inline dim3 matrix_grid(int64_t rows, int64_t columns) {
  const dim3 block = matrix_block(rows);
  return grid_of(ceil_div(columns, block.x), ceil_div(rows, block.y));
}

// body(row, column) for each of this thread's.
template <class Body>
__device__ __forceinline__ void for_each_in_matrix(int64_t rows, int64_t columns, const Body& body) {
  const int64_t column = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  for (int64_t row = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; row < rows; row += int64_t{gridDim.y} * blockDim.y) {
    body(row, column);
  }
}

}  // namespace torchao_ops::cuda
