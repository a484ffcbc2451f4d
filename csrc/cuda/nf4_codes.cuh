// nf4 codes as operands of tensor cores and as numbers: what mm_mma.cuh, mm_simt.cuh and dequantize.cuh ask of a weight format.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/ptx.cuh"
#include "csrc/spec/formats.h"

namespace torchao_ops::cuda {

// The numbers of the codes. They lie in one line of the first-level cache, of which a warp reads any 32 words at once: in shared memory they would be
// no nearer. (Constant memory is read one address at a time, and a table of all bytes would have several numbers in each bank.)
struct Nf4Numbers {
  alignas(64) float of_code[16];
};
constexpr Nf4Numbers make_nf4_numbers() {
  Nf4Numbers numbers{};
  for (int code = 0; code < 16; ++code) numbers.of_code[code] = nf4::value_of(code);
  return numbers;
}
__device__ const Nf4Numbers nf4_numbers = make_nf4_numbers();

// The 8 codes from element i of the flattened weight on, code i + j in nibble j ^ 1, as they lie in memory where i is even; 0 from `count` on.
__device__ __forceinline__ uint32_t load_nf4_octet(const uint8_t* packed, int64_t i, int64_t count) {
  const uint8_t* bytes = packed + i / 2;
  uint32_t codes = 0;
  if (i + 8 <= count && i % 2 == 0 && reinterpret_cast<uintptr_t>(bytes) % 4 == 0) {
    memcpy(&codes, __builtin_assume_aligned(bytes, 4), 4);
    return codes;
  }
#pragma unroll 1
  for (int j = 0; j < 8 && i + j < count; ++j) {
    codes |= static_cast<uint32_t>(nf4::code_of(packed[(i + j) / 2], i + j)) << 4 * (j ^ 1);
  }
  return codes;
}

// The numbers as operands of tensor cores, in the type of the activations.
//
// In bf16, codes 6 and 12 are not rounded to the nearest, but to the other neighbour, and so is code 5 in fp16. Each code always has the same error, and
// rounded to nearest these have a mean, over the codes of a normally distributed weight, by which a product with activations that are mostly of
// one sign is wrong: 2.7 % of y's norm for x uniform in [0, 1], K = 4096 and bf16, where the dense product is wrong by 0.31 %. So it is 0.32 %;
// for x with mean zero 0.154 % (nearest: 0.140 %, dense: 0.166 %). In fp16 0.024 % (nearest: 0.18 %, dense: 0.038 %) and 0.019 %. All simulated,
// without the rounding of y.
template <class Element>
struct Nf4Operands;
template <>
struct Nf4Operands<__nv_bfloat16> {
  static constexpr uint16_t of_code[16] = {0xbf80, 0xbf32, 0xbf06, 0xbeca, 0xbe92, 0xbe3d, 0xbdbb, 0x0000,
                                           0x3da3, 0x3e25, 0x3e7c, 0x3ead, 0x3ee1, 0x3f10, 0x3f39, 0x3f80};
};
template <>
struct Nf4Operands<__half> {
  static constexpr uint16_t of_code[16] = {0xbc00, 0xb992, 0xb833, 0xb652, 0xb48d, 0xb1e9, 0xadd4, 0x0000,
                                           0x2d18, 0x3126, 0x33e0, 0x3568, 0x370d, 0x3880, 0x39c9, 0x3c00};
};

// Their low bytes and their high ones, four codes in a word. They are read from memory, once for each chunk: what are constants for the compiler it copies
// to a register again for each use.
struct Nf4Tables {
  uint4 of_byte[2];
};
template <class Element>
constexpr uint4 nf4_table(int byte) {
  uint32_t words[4] = {};
  for (int code = 0; code < 16; ++code) {
    words[code / 4] |= static_cast<uint32_t>(Nf4Operands<Element>::of_code[code] >> 8 * byte & 0xff) << 8 * (code % 4);
  }
  return {words[0], words[1], words[2], words[3]};
}
template <class Element>
__device__ const Nf4Tables nf4_tables = {{nf4_table<Element>(0), nf4_table<Element>(1)}};

// The operands of an octet's codes in pairs, the even element first.
//
// Codes look them up in registers: a byte permutation takes four of eight bytes, by three bits of each of four codes. With 16 permutations and 5 other
// instructions an octet, a warp's chunk of 2 KiB takes a multiprocessor some 195 cycles (390 instructions in the loop's code for sm_90a, of which two
// start in a cycle). An H200's share of memory brings it in 99 cycles and an H100's in 142. A table of pairs for all bytes, in shared memory, would be read
// 64 times for a chunk, some 3.4 cycles each because of lanes that meet in a bank, besides the 48 cycles that shared memory is busy as it is. To be better,
// it would have to be there 16 times, 16 KiB that do not fit the 99 KiB of a block of compute capability 8.6. Estimated, not measured.
template <class Element>
__device__ __forceinline__ void nf4_pairs(uint32_t octet, uint32_t (&pairs)[4]) {
  const uint32_t places = octet & 0x77777777u;                                // of four codes, each in its half of the table
  const uint32_t halves = ptx::and_or(octet >> 1, 0x44444444u, 0x32103210u);  // and which half that is
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    uint32_t found[2];
#pragma unroll
    for (int byte = 0; byte < 2; ++byte) {
      const uint4 table = __ldg(&nf4_tables<Element>.of_byte[byte]);
      const uint32_t in_first = ptx::permute(table.x, table.y, places >> 16 * i);
      const uint32_t in_second = ptx::permute(table.z, table.w, places >> 16 * i);
      found[byte] = ptx::permute(in_first, in_second, halves >> 16 * i);
    }
    pairs[2 * i] = ptx::permute(found[0], found[1], 0x4051);  // the even element is the high nibble
    pairs[2 * i + 1] = ptx::permute(found[0], found[1], 0x6273);
  }
}

struct Nf4 {
  using Weight = nf4::Weight;
  static constexpr int octet_words = 1;  // of 8 codes

  // Rows in memory: of interest where each begins with a whole byte.
  __host__ __device__ static const uint8_t* bytes(const Weight& w) { return w.packed; }
  __host__ __device__ static int64_t row_stride(const Weight& w) { return w.N == 1 ? 0 : w.K / 2; }
  __host__ __device__ static int64_t row_bytes(const Weight& w) { return nf4::packed_bytes(w.K); }

  // A group is a block. Its size is a power of two, so no division is needed.
  __device__ static int64_t group_at(const Weight& w, int64_t n, int64_t k) {
    return w.group_position(n, k) >> (__ffsll(w.group_size) - 1);
  }
  // Rows begin at multiples of `count`, and so do blocks.
  static bool in_one_group(const Weight& w, int64_t count) { return w.group_size % count == 0 && (w.N == 1 || w.K % count == 0); }
  // What scale() asks for, so that its division has 32 bits.
  static Status check_size(const Weight& w) {
    return ceil_div(w.N * w.K, w.group_size) <= UINT32_MAX
               ? Status::ok
               : set_last_error(Status::cuda_failed, "a CUDA kernel", "a weight has 2^32 blocks or more");
  }

  static constexpr float operand_zero = 0;
  static constexpr bool has_offsets = false;
  static constexpr bool has_bitmask = false, has_row_scales = false, sums_whole_rows = false, breaks_sums = false;
  template <class Dot>
  static constexpr float missing_factor = 1;  // what products with the operand are multiplied by
  static constexpr int int8_factor = 1;       // there is no operand of 8 bits

  // w = scale * operand. Double quantization is undone here, at each use: a code and two numbers that many blocks share are fewer bytes than absmax.
  __device__ static float scale(const Weight& w, int64_t, int64_t block) {
    if (w.absmax_code == nullptr) return load_float(w.absmax, w.absmax_type, block);
    const uint8_t code = static_cast<const uint8_t*>(w.absmax)[block];
    return w.absmax_code[code] * w.nested_absmax[group_of(block, w.nested_block_size)] + *w.absmax_offset;
  }
  __device__ static float offset(const Weight&, int64_t, int64_t) { return 0; }
  // One element, exactly as nf4_dequantize has it in fp32.
  __device__ static float element(const Weight& w, int64_t n, int64_t k) {
    return nf4_numbers.of_code[w.code(n, k)] * scale(w, n, group_at(w, n, k));
  }

  // The fragments of 16 rows and 32 columns: this lane has the octet `lo` of row g and `hi` of row g + 8. Columns are in their own order.
  template <class Dot>
  __device__ __forceinline__ static void fragments(Dot, const uint32_t (&lo)[1], const uint32_t (&hi)[1], uint32_t (&a)[2][4]) {
    uint32_t lo_pairs[4], hi_pairs[4];
    nf4_pairs<typename Dot::Element>(lo[0], lo_pairs);
    nf4_pairs<typename Dot::Element>(hi[0], hi_pairs);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      a[j / 2][j % 2 * 2] = lo_pairs[j];
      a[j / 2][j % 2 * 2 + 1] = hi_pairs[j];
    }
  }
  __device__ __forceinline__ static void order_octet(const uint32_t (&in)[4], uint32_t (&out)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) out[j] = in[j];
  }

  // The numbers of an octet, exactly. Beyond the end of the row they are those of the next one.
  __device__ __forceinline__ static void operands(const Weight& w, int64_t n, int64_t k, float (&values)[8]) {
    const uint32_t codes = load_nf4_octet(w.packed, w.group_position(n, k), w.N * w.K);
#pragma unroll
    for (int j = 0; j < 8; ++j) values[j] = nf4_numbers.of_code[codes >> 4 * (j ^ 1) & 15];
  }
};

}  // namespace torchao_ops::cuda
