// 2:4 sparse weights as operands of tensor cores and as numbers: what mm_mma.cuh, mm_simt.cuh and dequantize.cuh ask of a weight format.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/fp8_codes.cuh"
#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/cuda/ptx.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

// The bits of an octet of a row's bitmask, 0 from K on; k is a multiple of 8.
__device__ __forceinline__ uint32_t bits_of_octet(const uint8_t* bitmask_row, int64_t k, int64_t K) {
  const uint32_t bits = bitmask_row[k / 8];
  return K - k >= 8 ? bits : bits & ((1u << (K - k)) - 1);
}

// Of up to 8 quads: not 0 where one keeps more than two.
__device__ __forceinline__ uint32_t quads_with_too_many(uint32_t bits) {
  const uint32_t both = bits & bits >> 1,
                 either = bits | bits >> 1;  // of elements 0 and 1 in bit 0 of a quad, of 2 and 3 in bit 2
  return ((both & either >> 2) | (both >> 2 & either)) & 0x11111111u;
}

// The values of an octet in their places, and zeros; NaN in a quad that keeps more than two. load(i) gives value i of the octet's four.
template <class Load>
__device__ __forceinline__ void expand_octet(uint32_t bits, const Load& load, float (&values)[8]) {
#pragma unroll
  for (int quad = 0; quad < 2; ++quad) {
    const uint32_t quad_bits = bits >> 4 * quad & 15;
    const bool broken = quads_with_too_many(quad_bits) != 0;
    const float first = quad_bits == 0 ? 0.0f : load(2 * quad), second = quad_bits == 0 ? 0.0f : load(2 * quad + 1);
    bool is_first = true;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool is_kept = (quad_bits >> i & 1) != 0;
      values[4 * quad + i] = broken ? quiet_nan() : !is_kept ? 0.0f : is_first ? first : second;
      is_first = is_first && !is_kept;
    }
  }
}

// Any type of values, by number: for the ordinary cores.
struct Sparse24 : RowGroups<sparse24::Weight> {
  using Weight = sparse24::Weight;

  // Rows in memory, of values and of bits. In bytes; the stride of a single row means nothing, and need not be a multiple of anything.
  __host__ __device__ static const uint8_t* bytes(const Weight& w) { return static_cast<const uint8_t*>(w.values); }
  __host__ __device__ static int64_t row_stride(const Weight& w) {
    return w.N == 1 ? 0 : w.value_row_stride * sparse24::size_of(w.value_type);
  }
  __host__ __device__ static int64_t row_bytes(const Weight& w) {
    return sparse24::value_columns(w.K) * sparse24::size_of(w.value_type);
  }
  __host__ __device__ static const uint8_t* bitmask(const Weight& w) { return w.bitmask; }
  __host__ __device__ static int64_t bitmask_row_stride(const Weight& w) { return w.N == 1 ? 0 : w.bitmask_row_stride; }

  static constexpr float operand_zero = 0;
  static constexpr bool has_offsets = false;
  static constexpr bool has_bitmask = true, has_row_scales = true, sums_whole_rows = false;
  template <class Dot>
  static constexpr float missing_factor = 1;
  // A quad that keeps too many is no number, and integers have no NaN.
  static constexpr bool breaks_sums = true;
  static constexpr int64_t exact_k = sparse24_exact_k;
  static constexpr OctetOrder octet_order = Int8::octet_order;
  static constexpr int int8_factor = Int8::int8_factor;

  __device__ static int64_t group_at(const Weight&, int64_t, int64_t) { return 0; }
  __device__ static float scale(const Weight& w, int64_t n, int64_t group) { return w.scale_at(n, group); }
  __device__ static float offset(const Weight&, int64_t, int64_t) { return 0; }
  __device__ static float element(const Weight& w, int64_t n, int64_t k) { return w.number(n, k) * w.scale_at(n, 0); }

  __device__ __forceinline__ static void operands(const Weight& w, int64_t n, int64_t k, float (&values)[8]) {
    const uint32_t bits = bits_of_octet(w.bitmask_row(n), k, w.K);
    const int64_t first = n * w.value_row_stride + k / 2;
    expand_octet(
        bits, [&](int i) { return sparse24::load_value(w.values, w.value_type, first + i); }, values);
  }
};

// Where byte permutations take an operand's elements from, for the four bits of a quad: two values in the first register, and in the second one what
// takes the place of others. They lie in one line of the first-level cache (as nf4_numbers do).
struct Sparse24Selectors {
  alignas(64) uint32_t of_bits[16];
};
constexpr Sparse24Selectors make_selectors_16() {
  Sparse24Selectors selectors{};
  for (int bits = 0; bits < 16; ++bits) {
    for (int i = 0; i < 4; ++i) {
      const uint32_t bytes = sparse24::keeps_too_many(bits)    ? 0x76u
                             : (bits >> i & 1) == 0            ? 0x54u
                             : sparse24::slot_of(bits, i) == 0 ? 0x10u
                                                               : 0x32u;
      selectors.of_bits[bits] |= bytes << 8 * i;
    }
  }
  return selectors;
}
// Bytes: the selector of the first quad of an octet, whose values are bytes 0 and 1 of the register, and that of the second one.
constexpr Sparse24Selectors make_selectors_8() {
  Sparse24Selectors selectors{};
  for (int bits = 0; bits < 16; ++bits) {
    for (int i = 0; i < 8; ++i) {
      const bool is_kept = !sparse24::keeps_too_many(bits) && (bits >> i % 4 & 1) != 0;
      const int byte = is_kept ? i / 4 * 2 + sparse24::slot_of(bits, i % 4) : 4;
      selectors.of_bits[bits] |= static_cast<uint32_t>(byte) << 4 * i;
    }
  }
  return selectors;
}
__device__ const Sparse24Selectors sparse24_selectors_16 = make_selectors_16();
__device__ const Sparse24Selectors sparse24_selectors_8 = make_selectors_8();

// That of quad 0 or 1 of an octet's bits, which are the lowest of `bits`.
__device__ __forceinline__ uint32_t selector_of(const Sparse24Selectors& selectors, uint32_t bits, int quad) {
  const uint32_t offset = (quad == 0 ? bits << 2 : bits >> 2) & 0x3cu;  // in bytes
  return __ldg(reinterpret_cast<const unsigned*>(reinterpret_cast<const char*>(selectors.of_bits) + offset));
}

// The same weight as operands of tensor cores, with values of a type that is known. An octet's four values come with its 8 bits, the lowest of a word, and
// are made dense in registers; so x and the sums are those of the dense product, and Inf times a zero is NaN as it is there.
template <class Value>
struct Sparse24Of;

// Values of x's type: each quad is a register with two values and becomes two.
//
// The main loop's code for sm_90a has 313 instructions for a chunk of 2.25 KiB. With values of bytes, for 2.5 KiB, it has 448 where operands are
// int8, 682 where int8 becomes 16-bit ones, and 760 (fp16) and 824 (bf16) for e4m3fn.
template <>
struct Sparse24Of<uint16_t> : Sparse24 {
  static constexpr int octet_words = 2;
  static constexpr bool breaks_sums = false;  // a quad that keeps too many is NaN

  __device__ __forceinline__ static void expand(const uint32_t (&values)[2], uint32_t bits, uint32_t (&dense)[4]) {
    constexpr uint32_t zero_and_nan = 0x7fff0000u;  // NaN in both types
#pragma unroll
    for (int quad = 0; quad < 2; ++quad) {
      const uint32_t selector = selector_of(sparse24_selectors_16, bits, quad);
      dense[2 * quad] = ptx::permute(values[quad], zero_and_nan, selector);
      dense[2 * quad + 1] = ptx::permute(values[quad], zero_and_nan, selector >> 16);
    }
  }
  // Columns are in their own order.
  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot, const uint32_t (&lo)[4], const uint32_t (&hi)[4], uint32_t (&a)[2][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      a[j / 2][j % 2 * 2] = lo[j];
      a[j / 2][j % 2 * 2 + 1] = hi[j];
    }
  }
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) out[j] = in[j];
  }
};

// Bytes: an octet of values is a register and becomes the two that a dense format of bytes has.
struct Sparse24Bytes : Sparse24 {
  static constexpr int octet_words = 1;

  __device__ __forceinline__ static void expand(const uint32_t (&values)[1], uint32_t bits, uint32_t (&dense)[2]) {
    dense[0] = ptx::permute(values[0], 0, selector_of(sparse24_selectors_8, bits, 0));
    dense[1] = ptx::permute(values[0], 0, selector_of(sparse24_selectors_8, bits, 1) >> 16);
  }
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) { Int8::order_octet(in, out); }
  // Not 0 where something breaks sums: among the bits of four octets, and in a dense octet.
  static constexpr uint32_t broken_bits = ~0u;
  __device__ __forceinline__ static uint32_t breaks(uint32_t bits) { return quads_with_too_many(bits); }
  template <class Dot>
  __device__ __forceinline__ static uint32_t breaks(Dot, const uint32_t (&)[2]) {
    return 0;
  }
};

template <>
struct Sparse24Of<int8_t> : Sparse24Bytes {
  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot dot, const uint32_t (&lo)[2], const uint32_t (&hi)[2],
                                                   uint32_t (&a)[Dot::mmas][4]) {
    Int8::fragments(dot, lo, hi, a);
  }
};

template <>
struct Sparse24Of<Float8E4m3fn> : Sparse24Bytes {
  using Dense = Fp8<Float8E4m3fn>;

  template <class Dot>
  static constexpr float missing_factor = Dense::missing_factor<Dot>;
  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot dot, const uint32_t (&lo)[2], const uint32_t (&hi)[2],
                                                   uint32_t (&a)[2][4]) {
    Dense::fragments(dot, lo, hi, a);
  }
  using Sparse24Bytes::breaks;
  template <class Dot>
  __device__ __forceinline__ static uint32_t breaks(Dot dot, const uint32_t (&dense)[2]) {
    return Dense::breaks(dot, dense) & Dense::broken_bits;
  }
};

}  // namespace torchao_ops::cuda
