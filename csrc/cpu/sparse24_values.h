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
TORCHAO_OPS_INLINE __m256 load_values_avx2(const Float8E4m3fn* p) { return Avx2::load(p); }

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
