// int4 codes as operands of tensor cores: what mm_mma.cuh asks of a weight format.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/mm_dot.cuh"
#include "csrc/cuda/quantize_activations.h"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// The operand is code - 8, which is exact in every type and makes symmetric weights need nothing else; see Int4::offset.
struct Int4 : RowGroups<int4::Weight> {
  using Weight = int4::Weight;
  static constexpr int octet_words = 1;  // of 8 codes

  // Rows in memory.
  __host__ __device__ static const uint8_t* bytes(const Weight& w) { return w.packed; }
  // In bytes. That of a single row means nothing, and need not be a multiple of anything.
  __host__ __device__ static int64_t row_stride(const Weight& w) { return w.N == 1 ? 0 : w.packed_row_stride; }
  __host__ __device__ static int64_t row_bytes(const Weight& w) { return int4::packed_columns(w.K); }

  static Weight rows(Weight w, int64_t n, int64_t count) {
    w.packed += n * w.packed_row_stride;
    w.scale = static_cast<const uint8_t*>(w.scale) + n * w.scale_row_stride * size_of(w.scale_type);
    if (w.zero_point != nullptr) {
      w.zero_point = static_cast<const uint8_t*>(w.zero_point) + n * w.zero_point_row_stride * size_of(w.zero_point_type);
    }
    w.N = count;
    return w;
  }

  static constexpr float operand_zero = int4::symmetric_zero_point;  // the code whose operand is 0
  static constexpr bool has_offsets = true;
  static constexpr bool has_bitmask = false, has_row_scales = false, sums_whole_rows = false, breaks_sums = false;
  template <class Dot>
  static constexpr float missing_factor = 1;  // what products with the operand are multiplied by
  __host__ __device__ static bool has_offset(const Weight& w) { return w.zero_point != nullptr; }
  // w = scale * (operand + offset).
  __device__ static float scale(const Weight& w, int64_t n, int64_t group) { return w.scale_at(n, group); }
  __device__ static float offset(const Weight& w, int64_t n, int64_t group) {
    return static_cast<float>(int4::symmetric_zero_point) - w.zero_point_at(n, group);
  }
  // One element, exactly as int4_dequantize has it in fp32.
  __device__ static float element(const Weight& w, int64_t n, int64_t k) {
    const int64_t group = group_at(w, n, k);
    return (static_cast<float>(w.code(n, k)) - w.zero_point_at(n, group)) * w.scale_at(n, group);
  }

  // The fragments of 16 rows and 32 columns: this lane has the octet `lo` of row g and `hi` of row g + 8. The columns are taken in the order that
  // costs no shuffling of codes, and order_octet brings x into the same: register j of a 16-bit operand is the pair (j, j + 4).
  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot, const uint32_t (&lo)[1], const uint32_t (&hi)[1], uint32_t (&a)[2][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      a[j / 2][j % 2 * 2] = pair<typename Dot::Element>(lo[0], j);
      a[j / 2][j % 2 * 2 + 1] = pair<typename Dot::Element>(hi[0], j);
    }
  }
  // Elements (0, 1), (2, 3), (4, 5), (6, 7) of an octet of x in, its registers out.
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) {
    out[0] = __byte_perm(in[0], in[2], 0x5410);
    out[1] = __byte_perm(in[0], in[2], 0x7632);
    out[2] = __byte_perm(in[1], in[3], 0x5410);
    out[3] = __byte_perm(in[1], in[3], 0x7632);
  }

  // Bytes: a register holds the even elements of an octet, another the odd ones. A code in the high half of a byte with its top bit flipped is
  // 16 * (code - 8), so no subtraction is needed; Int8Dot::to_float takes the 16 out again.
  __device__ __forceinline__ static void fragments(Int8Dot, const uint32_t (&lo)[1], const uint32_t (&hi)[1],
                                                   uint32_t (&a)[1][4]) {
    a[0][0] = ((lo[0] << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][1] = ((hi[0] << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][2] = (lo[0] & 0xf0f0f0f0u) ^ 0x80808080u;
    a[0][3] = (hi[0] & 0xf0f0f0f0u) ^ 0x80808080u;
  }
  static constexpr OctetOrder octet_order = OctetOrder::even_odd;
  // What the 8-bit operand is too large by.
  static constexpr int int8_factor = 16;

  // The codes of an octet, minus 8, as fp32.
  __device__ __forceinline__ static void operands(const Weight& w, int64_t n, int64_t k, float (&values)[8]) {
    const uint32_t codes = load_int4_octet(bytes(w) + n * row_stride(w), k, w.K);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      values[i] = static_cast<float>(static_cast<int>(codes >> 4 * i & 15) - int4::symmetric_zero_point);
  }

 private:
  // Codes j and j + 4 of an octet, minus 8. OR-ed into the low mantissa bits of 128 in bf16 or 1024 in fp16 they are that number plus the code, and
  // subtracting that number and 8 is exact.
  template <class Element>
  __device__ __forceinline__ static uint32_t pair(uint32_t octet, int j) {
    constexpr bool bf16 = std::is_same_v<Element, __nv_bfloat16>;
    const uint32_t bits = ptx::and_or(octet >> 4 * j, 0x000f000fu, bf16 ? 0x43004300u : 0x64006400u);
    return add_pairs<Element>(bits, bf16 ? 0xc308c308u : 0xe408e408u);
  }
};

}  // namespace torchao_ops::cuda
