// sparse24_mm with bf16 activations, the bf16 dot product (bf16_dot.h) and vpexpandw: the bitmask itself puts the values of 32 elements in their places, with
// zeros between them, and one instruction multiplies them by 32 elements of x as they lie in memory. Products with zeros cost nothing here: half of
// them would take as many instructions.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/sparse24_decode.h"
#include "csrc/cpu/sparse24_values_avx512.h"

namespace torchao_ops {
namespace {

// Sixteen values, exact in bf16.
TORCHAO_OPS_INLINE __m256i values_as_bf16(const BFloat16* p) { return Avx2::load_bits(p); }
template <class T>
TORCHAO_OPS_INLINE __m256i values_as_bf16(const T* p) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(load_values_avx512(p)), 16));
}

// For Sparse24Decode.
template <class T>
struct ExpandingValues {
  using Vector = Avx512;
  using Stored = T;
  using Activation = BFloat16;
  static constexpr Marks marks = Marks::bits;
  static constexpr int64_t chunk_k = 64;
  static constexpr bool flushes_subnormals = true;

  TORCHAO_OPS_INLINE static void place(const float* chunk, BFloat16* out) {
    for (int64_t i = 0; i < chunk_k; ++i)
      out[i].bits = static_cast<uint16_t>(float_bits(chunk[i]) >> 16);  // exact: they came as bf16
  }
  TORCHAO_OPS_INLINE static __m512i load(const T* values, const uint8_t* bits, int part) {
    uint32_t mask;
    std::memcpy(&mask, bits + 4 * part, sizeof(mask));
    return _mm512_maskz_expand_epi16(mask, _mm512_castsi256_si512(values_as_bf16(values + 16 * part)));
  }
  TORCHAO_OPS_INLINE static __m512 add_product(__m512 sum, __m512i values, const BFloat16* x, int part) {
    return dot_bf16(sum, values, Avx512::load_bits(x + 32 * part));
  }
};

}  // namespace

Status sparse24_mm_decode_avx512_vbmi2(const Sparse24MmArgs& args, const Parallel& parallel) {
  switch (args.weight.value_type) {
    case sparse24::ValueType::bf16: return sparse24_decode<ExpandingValues<BFloat16>, OrdinaryActivations>(args, parallel);
    case sparse24::ValueType::int8: return sparse24_decode<ExpandingValues<int8_t>, OrdinaryActivations>(args, parallel);
    default: return sparse24_decode<ExpandingValues<Float8E4m3fn>, OrdinaryActivations>(args, parallel);
  }
}

}  // namespace torchao_ops
