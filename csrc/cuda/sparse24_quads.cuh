// Quads of a dense weight: what prunes and compresses one looks at.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "csrc/cuda/elements.cuh"
#include "csrc/spec/sparse24.h"

namespace torchao_ops::cuda {

// Calls body(T{}) with the type in memory of a ValueType.
template <class Body>
auto with_value_type(sparse24::ValueType type, const Body& body) {
  switch (type) {
    case sparse24::ValueType::f16: return body(__half{});
    case sparse24::ValueType::bf16: return body(__nv_bfloat16{});
    case sparse24::ValueType::int8: return body(int8_t{});
    case sparse24::ValueType::e4m3fn: return body(Float8E4m3fn{});
    case sparse24::ValueType::f32: break;
  }
  return body(float{});
}

// Exact.
__device__ __forceinline__ float to_float32(int8_t value) { return static_cast<float>(value); }
__device__ __forceinline__ float to_float32(Float8E4m3fn value) { return to_float(value); }

// The elements [k, k + count) of a row, 1 to 4 of them, and zeros.
template <class T>
struct Quad {
  T elements[4];
  uint32_t magnitudes[4];  // in the order of the numbers, NaN above Inf and 0 below all; all NaN are equal
  int count;

  __device__ __forceinline__ Quad(const T* row, int64_t k, int64_t K)
      : elements{}, count(K - k < 4 ? static_cast<int>(K - k) : 4) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) elements[i] = row[k + i];
      const uint32_t magnitude = magnitude_bits(to_float32(elements[i]));
      magnitudes[i] = magnitude > 0x7f800000u ? 0x7fffffffu : magnitude;
    }
  }
  // A bit for each of those that sparse24_prune keeps.
  __device__ __forceinline__ uint32_t largest_two() const {
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int before = 0;  // how many are kept rather than i
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const bool is_before = j < i ? magnitudes[j] >= magnitudes[i] : j > i && magnitudes[j] > magnitudes[i];
        before += is_before ? 1 : 0;
      }
      if (before < 2 && i < count) bits |= 1u << i;
    }
    return bits;
  }
};

}  // namespace torchao_ops::cuda
