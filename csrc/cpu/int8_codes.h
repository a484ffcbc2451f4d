// How int8 codes become numbers in vector registers. Widened, they come in the order in which they lie in memory.
#pragma once

#include "csrc/cpu/byte_codes.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/int8_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {
namespace {

// Codes are exact in fp32 and in bf16.
struct Int8Loader {
  template <class V>
  TORCHAO_OPS_INLINE static typename V::Float load(const uint8_t* p) {
    return V::int8_codes(p);
  }
};
template <class V>
using Int8CodesFp32 = ByteCodesFp32<V, Int8MmArgs, Int8Loader>;

// For Decode with int8 activations, without an instruction that adds four products of bytes and cannot saturate: both operands as 16-bit integers,
// whose products vpmaddwd adds exactly in pairs. (vpmaddubsw saturates: 2 * 128 * 127 > 32767 with an unsigned operand of 8 bits.)
struct Int8CodesInt16 {
  using Args = Int8MmArgs;
  using Vector = Avx2;
  using Activation = int16_t;
  using Chunk = const uint8_t*;
  using Numbers = __m256i;
  using Sum = __m256i;
  static constexpr bool quantizes = true, uses_lane_sums = false, exact_rows = true;
  static constexpr int64_t chunk_k = 32, max_step = whole_groups;
  static constexpr int parts = 2;

  TORCHAO_OPS_INLINE static void place(const float* chunk, int16_t* out, int64_t stride, float*) {
    for (int j = 0; j < parts; ++j)
      for (int i = 0; i < 16; ++i) out[j * stride + i] = static_cast<int16_t>(static_cast<int32_t>(chunk[16 * j + i]));
  }
  TORCHAO_OPS_INLINE static Chunk load(const uint8_t* p) { return p; }
  TORCHAO_OPS_INLINE static Numbers numbers(Chunk codes, int part) { return Avx2::widen(codes + 16 * part); }
  TORCHAO_OPS_INLINE static __m256i load_activations(const int16_t* p) {
    __m256i x = Avx2::load_bits(p);
    asm("" : "+x"(x));  // stays in a register for all weight rows: GCC 12 would load it anew for each
    return x;
  }
  TORCHAO_OPS_INLINE static Sum start(__m256) { return Avx2::zero_bits(); }
  TORCHAO_OPS_INLINE static Sum add_product(Sum sum, Numbers numbers, __m256i x) { return Avx2::dot_s16(sum, numbers, x); }
  TORCHAO_OPS_INLINE static __m256 finish(Sum sum, __m256, __m256) { return Avx2::from_int(sum); }
  TORCHAO_OPS_INLINE static float total(Sum sum) { return static_cast<float>(Avx2::sum(sum)); }
};

}  // namespace
}  // namespace torchao_ops
