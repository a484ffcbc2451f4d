// fp8 codes as numbers: what templates over formats ask of the format, with the 8-bit type known to the compiler.
#pragma once

#include "csrc/cpu/byte_codes.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/fp8_mm.h"

namespace torchao_ops {
namespace {

template <class T>
struct Fp8Weight : fp8::Weight {
  TORCHAO_OPS_INLINE explicit Fp8Weight(const fp8::Weight& weight) : fp8::Weight(weight) {}
  TORCHAO_OPS_INLINE static float code_in(const uint8_t* row, int64_t k) { return to_float(T{row[k]}); }
};

template <class V, class T>
TORCHAO_OPS_INLINE typename V::Float load_codes(const Fp8Weight<T>&, const uint8_t* p) {
  return V::load(reinterpret_cast<const T*>(p));
}

// For ByteCodesFp32 and ByteCodesBf16: the numbers of both types are exact in either.
template <class T>
struct Fp8Loader {
  template <class V>
  TORCHAO_OPS_INLINE static typename V::Float load(const uint8_t* p) {
    return V::load(reinterpret_cast<const T*>(p));
  }
};

// body(T{}) for the 8-bit type T.
template <class Body>
TORCHAO_OPS_INLINE Status with_float8(Float8Type type, const Body& body) {
  return type == Float8Type::e4m3fn ? body(Float8E4m3fn{}) : body(Float8E5m2{});
}

}  // namespace
}  // namespace torchao_ops
