// int8 codes and vpdpbusd, whose one operand is unsigned: it gets code + 128, which is the code with its top bit turned over, and what that adds to
// a sum of products, 128 times the activations' sum, is subtracted before the first product is added. The true sum fits int32, so it does not matter
// that sums on the way may wrap.
#pragma once

#include "csrc/cpu/decode.h"
#include "csrc/cpu/int8_mm.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {
namespace {

constexpr uint32_t top_bits = 0x80808080u;

// Exact: X is an integer below 2^24.
TORCHAO_OPS_INLINE __m512i minus_128_times(__m512 X) { return Avx512::to_int(Avx512::mul(X, Avx512::set(-128.0f))); }

// For Decode. Four consecutive codes a lane.
struct Int8CodesVnni {
  using Args = Int8MmArgs;
  using Vector = Avx512;
  using Activation = int8_t;
  using Chunk = __m512i;
  using Numbers = __m512i;
  using Sum = __m512i;
  static constexpr bool quantizes = true, uses_lane_sums = true, exact_rows = true;
  static constexpr int64_t chunk_k = 64, max_step = whole_groups;
  static constexpr int parts = 1;
  static constexpr int offset = 0;

  TORCHAO_OPS_INLINE static void place(const float* chunk, int8_t* out, int64_t, float* lane_sums) {
    for (int lane = 0; lane < Avx512::lanes; ++lane) {
      const float* q = chunk + 4 * lane;
      lane_sums[lane] += (q[0] + q[1]) + (q[2] + q[3]);
      for (int i = 0; i < 4; ++i) out[4 * lane + i] = static_cast<int8_t>(static_cast<int32_t>(q[i]));
    }
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Numbers numbers(Chunk codes, int) { return Avx512::bit_xor(codes, top_bits); }
  TORCHAO_OPS_INLINE static __m512i load_activations(const int8_t* p) { return Avx512::load_bits(p); }
  TORCHAO_OPS_INLINE static Sum start(__m512 X) { return minus_128_times(X); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m512i x) { return dot_u8_s8(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m512 finish(Sum sum, __m512, __m512) { return Avx512::from_int(sum); }
  TORCHAO_OPS_INLINE static float total(Sum sum) { return static_cast<float>(Avx512::sum(sum)); }
  TORCHAO_OPS_INLINE static __m512 repeat(const float* p) { return Avx512::repeat8(p); }
};

// For DynamicPrefill: a word is four codes.
struct Int8DotVnni {
  using Args = Int8MmArgs;
  using Vector = Avx512;
  using Code = uint8_t;
  using Activation = int8_t;
  using Sum = __m512i;
  static constexpr int64_t step = 4, exact_k = int8_exact_k;
  static constexpr int64_t max_words = int64_t{1} << 14;  // 4 * 128 * 127 * 2^14 < 2^31
  static constexpr bool uses_run_sums = true;
  static constexpr int block_rows = 12;  // 12 * 2 sums, 2 vectors of x and a broadcast word of 32 registers

  TORCHAO_OPS_INLINE static void unpack(const uint8_t* codes, int64_t count, uint8_t* out) {
    int64_t k = 0;
    for (; k + 64 <= count; k += 64) Avx512::store_bits(out + k, Avx512::bit_xor(Avx512::load_bits(codes + k), top_bits));
    for (; k < count; ++k) out[k] = code_of(static_cast<int8_t>(codes[k]));
  }
  TORCHAO_OPS_INLINE static uint8_t code_of(int8_t code) { return static_cast<uint8_t>(code ^ 0x80); }
  TORCHAO_OPS_INLINE static Sum start(__m512 Q) { return minus_128_times(Q); }
  TORCHAO_OPS_INLINE static Sum dot(Sum sum, __m512i x, __m512i w) { return dot_u8_s8(sum, w, x); }
  TORCHAO_OPS_INLINE static __m512 finish(Sum sum, __m512, __m512) { return Avx512::from_int(sum); }
};

}  // namespace
}  // namespace torchao_ops
