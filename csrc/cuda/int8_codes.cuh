// int8 codes as operands of tensor cores: what mm_mma.cuh asks of a weight format.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/int8_mm.h"

namespace torchao_ops::cuda {

// The fragments of 16 rows and 32 columns of a format of bytes, in 16-bit operands: this lane has the octet `lo` of row g and `hi` of row g + 8. The
// columns are taken in the order that costs no shuffling of bytes: pairs (0, 2), (1, 3), (4, 6), (5, 7). Format::pair makes one of bytes 0 and 2 of a word.
template <class Format, class Element>
__device__ __forceinline__ void pairs_of_bytes(const uint32_t (&lo)[2], const uint32_t (&hi)[2], uint32_t (&a)[2][4]) {
#pragma unroll
  for (int word = 0; word < 2; ++word) {
    a[word][0] = Format::pair(Element{}, lo[word]);
    a[word][1] = Format::pair(Element{}, hi[word]);
    a[word][2] = Format::pair(Element{}, lo[word] >> 8);
    a[word][3] = Format::pair(Element{}, hi[word] >> 8);
  }
}

// The operand is the code, which is exact in every type.
struct Int8 : RowGroups<int8::Weight> {
  using Weight = int8::Weight;
  static constexpr int octet_words = 2;  // of 4 codes

  // Rows in memory.
  __host__ __device__ static const uint8_t* bytes(const Weight& w) { return reinterpret_cast<const uint8_t*>(w.codes); }
  // In bytes. That of a single row means nothing, and need not be a multiple of anything.
  __host__ __device__ static int64_t row_stride(const Weight& w) { return w.N == 1 ? 0 : w.row_stride; }
  __host__ __device__ static int64_t row_bytes(const Weight& w) { return w.K; }

  static Weight rows(Weight w, int64_t n, int64_t count) {
    w.codes += n * w.row_stride;
    w.scale = static_cast<const uint8_t*>(w.scale) + n * w.scale_row_stride * size_of(w.scale_type);
    w.N = count;
    return w;
  }

  static constexpr float operand_zero = 0;  // the code whose operand is 0
  static constexpr bool has_offsets = false;
  static constexpr bool has_bitmask = false, has_row_scales = false, sums_whole_rows = false, breaks_sums = false;
  template <class Dot>
  static constexpr float missing_factor = 1;  // what products with the operand are multiplied by
  static constexpr int64_t exact_k = int8_exact_k;

  // w = scale * operand.
  __device__ static float scale(const Weight& w, int64_t n, int64_t group) { return w.scale_at(n, group); }
  __device__ static float offset(const Weight&, int64_t, int64_t) { return 0; }
  // One element, exactly as int8_dequantize has it in fp32.
  __device__ static float element(const Weight& w, int64_t n, int64_t k) {
    return static_cast<float>(w.code(n, k)) * w.scale_at(n, group_at(w, n, k));
  }

  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot, const uint32_t (&lo)[2], const uint32_t (&hi)[2], uint32_t (&a)[2][4]) {
    pairs_of_bytes<Int8, typename Dot::Element>(lo, hi, a);
  }
  // Elements (0, 1), (2, 3), (4, 5), (6, 7) of an octet of x in, its registers in the order of pairs_of_bytes out.
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) {
    out[0] = __byte_perm(in[0], in[1], 0x5410);
    out[1] = __byte_perm(in[0], in[1], 0x7632);
    out[2] = __byte_perm(in[2], in[3], 0x5410);
    out[3] = __byte_perm(in[2], in[3], 0x7632);
  }

  // Bytes as they are.
  __device__ __forceinline__ static void fragments(Int8Dot, const uint32_t (&lo)[2], const uint32_t (&hi)[2],
                                                   uint32_t (&a)[1][4]) {
    a[0][0] = lo[0];
    a[0][1] = hi[0];
    a[0][2] = lo[1];
    a[0][3] = hi[1];
  }
  static constexpr OctetOrder octet_order = OctetOrder::halves;
  // What the 8-bit operand is too large by.
  static constexpr int int8_factor = 1;

  // The codes of an octet as fp32, 0 from K on.
  __device__ __forceinline__ static void operands(const Weight& w, int64_t n, int64_t k, float (&values)[8]) {
    const uint64_t codes = load_int8_octet(bytes(w) + n * row_stride(w), k, w.K);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = static_cast<float>(static_cast<int8_t>(codes >> 8 * i));
  }

  // Bytes 0 and 2 of a word as bf16: the low 7 bits OR-ed into 128 are 128 + them, and the top bit, which means -128, is where the last bit of bf16's
  // exponent is: OR-ed into -128 it makes -256. Their sum is the code, exactly.
  __device__ __forceinline__ static uint32_t pair(__nv_bfloat16, uint32_t word) {
    return add_pairs<__nv_bfloat16>(ptx::and_or(word, 0x007f007fu, 0x43004300u), ptx::and_or(word, 0x00800080u, 0xc300c300u));
  }
  // As fp16: a byte with its top bit flipped is code + 128 and OR-ed into 1024 it is 1152 + code.
  __device__ __forceinline__ static uint32_t pair(__half, uint32_t word) {
    return add_pairs<__half>(ptx::and_or(word, 0x00ff00ffu, 0x64006400u) ^ 0x00800080u, 0xe480e480u);
  }
};

}  // namespace torchao_ops::cuda
