// The values of a 2:4 sparse weight in vector registers, as fp32.
#pragma once

#include <type_traits>

#include "csrc/cpu/simd_avx2.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops {
namespace {

// Eight consecutive values.
TORCHAO_OPS_INLINE __m256 load_values_avx2(const float* p) { return Avx2::load(p); }
TORCHAO_OPS_INLINE __m256 load_values_avx2(const Half* p) { return Avx2::load(p); }
TORCHAO_OPS_INLINE __m256 load_values_avx2(const BFloat16* p) { return Avx2::load(p); }
TORCHAO_OPS_INLINE __m256 load_values_avx2(const int8_t* p) { return Avx2::int8_codes(reinterpret_cast<const uint8_t*>(p)); }
TORCHAO_OPS_INLINE __m256 load_values_avx2(const Float8E4m3fn* p) {
  // As in float8.h. A NaN, which multiplied would be 480, gets all its bits set.
  const __m256i codes = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i bits = _mm256_slli_epi32(codes, 20), magnitude = _mm256_set1_epi32(0x07f00000);
  const __m256i is_nan = _mm256_cmpeq_epi32(_mm256_and_si256(bits, magnitude), magnitude);
  const __m256i in_place = _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0x87f00000u)));
  const __m256 numbers = _mm256_mul_ps(_mm256_castsi256_ps(in_place), _mm256_set1_ps(float_from_bits((127u + 120u) << 23)));
  return _mm256_or_ps(numbers, _mm256_castsi256_ps(is_nan));
}

// Whether numbers of this type may be so large or small that a product with x leaves fp32's range though it would not with the scale applied first.
template <class T>
constexpr bool has_wide_range = sizeof(T) > 1;

// Calls f(pointer to the values' C++ type) and returns what that returns.
template <class F>
TORCHAO_OPS_INLINE auto with_values(const sparse24::Weight& w, const F& f) {
  switch (w.value_type) {
    case sparse24::ValueType::f32: return f(static_cast<const float*>(w.values));
    case sparse24::ValueType::f16: return f(static_cast<const Half*>(w.values));
    case sparse24::ValueType::bf16: return f(static_cast<const BFloat16*>(w.values));
    case sparse24::ValueType::int8: return f(static_cast<const int8_t*>(w.values));
    case sparse24::ValueType::e4m3fn: break;
  }
  return f(static_cast<const Float8E4m3fn*>(w.values));
}

}  // namespace
}  // namespace torchao_ops
