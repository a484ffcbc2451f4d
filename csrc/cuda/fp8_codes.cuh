// fp8 numbers as operands of tensor cores and as fp32: what mm_mma.cuh, mm_simt.cuh and dequantize.cuh ask of a weight format.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/spec/fp8.h"

namespace torchao_ops::cuda {

// Code: Float8E4m3fn or Float8E5m2. The operand is the number, exactly, but for a power of two (missing_factor) and what is not finite (breaks).
//
// A number's bits are moved to their place in the wider type, where the exponent is too small by what the biases differ in, subnormal numbers
// included. For e5m2 in fp16 it is the same bias. For e4m3fn in fp16 it is 2^8, which the scale takes: no sum is out of fp32's range for it. In
// bf16 it is 2^120 or 2^112: x times that would be below fp32's range, and the operand is multiplied, a pair at a time.
//
// For an octet that is 14 instructions for e4m3fn in fp16, 6 for e5m2, and 18 in bf16; 4 more, where needed, see what is not finite. int8 takes
// 14. The main loop's code for sm_90a, a chunk of 2 KiB and 8 rows of x, has 257 instructions (e4m3fn in fp16), 161 (e5m2) and 288 (bf16) where
// rows have one scale, and 48 more where pieces have theirs.
template <class Code>
struct Fp8 : RowGroups<fp8::Weight> {
  using Weight = fp8::Weight;
  static constexpr bool is_e4m3fn = std::is_same_v<Code, Float8E4m3fn>;
  static constexpr int octet_words = 2;  // of 4 numbers

  // Rows in memory.
  __host__ __device__ static const uint8_t* bytes(const Weight& w) { return static_cast<const uint8_t*>(w.codes); }
  // In bytes. That of a single row means nothing, and need not be a multiple of anything.
  __host__ __device__ static int64_t row_stride(const Weight& w) { return w.N == 1 ? 0 : w.row_stride; }
  __host__ __device__ static int64_t row_bytes(const Weight& w) { return w.K; }

  // What scale() asks for, too, so that its division has 32 bits.
  static Status check_size(const Weight& w) {
    if (w.N > UINT32_MAX && w.row_block != 1 && w.row_block < w.N) {
      return set_last_error(Status::cuda_failed, "a CUDA kernel", "a weight has 2^32 rows or more");
    }
    return check_row_length(w.K);
  }

  static constexpr float operand_zero = -0.0f;  // adding it keeps the sign of zeros
  static constexpr bool has_offsets = false;
  static constexpr bool has_bitmask = false, has_row_scales = false, breaks_sums = true;
  // Sums of numbers are rounded as those of scaled ones are.
  static constexpr bool sums_whole_rows = true;
  static constexpr int64_t exact_k = INT64_MAX;
  static constexpr int int8_factor = 1;  // there is no operand of 8 bits

  // w = scale * number. As Weight::scale_at has it.
  __device__ static float scale(const Weight& w, int64_t n, int64_t group) {
    const int64_t block = w.row_block == 1 ? n : group_of(n, w.row_block);
    return load_float(w.scale, w.scale_type, block * w.scale_row_stride + group * w.scale_column_stride);
  }
  __device__ static float offset(const Weight&, int64_t, int64_t) { return 0; }
  // One element, exactly as fp8_dequantize has it in fp32.
  __device__ static float element(const Weight& w, int64_t n, int64_t k) {
    return to_float(Code{w.row(n)[k]}) * scale(w, n, group_at(w, n, k));
  }

  template <class Dot>
  static constexpr bool is_fp16 = std::is_same_v<typename Dot::Element, __half>;
  // What a product with the operand is to be multiplied by.
  template <class Dot>
  static constexpr float missing_factor = is_e4m3fn&& is_fp16<Dot> ? 256 : 1;

  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot, const uint32_t (&lo)[2], const uint32_t (&hi)[2], uint32_t (&a)[2][4]) {
    pairs_of_bytes<Fp8, typename Dot::Element>(lo, hi, a);
  }
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) { Int8::order_octet(in, out); }

  // Bytes 0 and 2 of a word.
  template <class Element>
  __device__ __forceinline__ static uint32_t pair(Element, uint32_t word) {
    constexpr bool bf16 = std::is_same_v<Element, __nv_bfloat16>;
    constexpr int shift = (bf16 ? 7 : 10) - (is_e4m3fn ? 3 : 2);  // bits of mantissas
    const uint32_t pair = (word << 8 & 0x80008000u) | (word << shift & 0x007f007fu << shift);
    return bf16 ? multiply_pairs<Element>(pair, is_e4m3fn ? 0x7b807b80u : 0x77807780u) : pair;
  }

  // Has some of these bits where the octet has something that is not finite and whose operand is a number: a byte to which adding what its type's
  // first such code lacks of 128 changes the top bit. A byte that carries into the next one is not finite itself.
  static constexpr uint32_t broken_bits = 0x80808080u;
  template <class Dot>
  __device__ __forceinline__ static uint32_t breaks(Dot, const uint32_t (&octet)[2]) {
    if constexpr (!is_e4m3fn && is_fp16<Dot>) return 0;
    constexpr uint32_t lacking = is_e4m3fn ? 0x01010101u : 0x04040404u;
    return ((octet[0] + lacking) ^ octet[0]) | ((octet[1] + lacking) ^ octet[1]);
  }

  // The numbers of an octet, 0 from K on.
  __device__ __forceinline__ static void operands(const Weight& w, int64_t n, int64_t k, float (&values)[8]) {
    const uint64_t codes = load_int8_octet(bytes(w) + n * row_stride(w), k, w.K);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = to_float(Code{static_cast<uint8_t>(codes >> 8 * i)});
  }
};

// Calls body(Format{}) with the format of a type.
template <class Body>
auto with_fp8_format(Float8Type type, const Body& body) {
  return type == Float8Type::e4m3fn ? body(Fp8<Float8E4m3fn>{}) : body(Fp8<Float8E5m2>{});
}

}  // namespace torchao_ops::cuda
