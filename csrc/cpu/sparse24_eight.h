// Eight elements of a row, two quads or one byte of bitmask, which prune and compress handle at once: ScalarEight here, and one for each ISA.
#pragma once

#include <cstring>

#include "csrc/spec/sparse24.h"

namespace torchao_ops {
namespace {

// Stored numbers as integers that compare as their magnitudes do, with every NaN the same and above Inf.
template <class T>
struct Magnitudes;
template <>
struct Magnitudes<float> {
  using Bits = uint32_t;
  static constexpr uint32_t magnitude_bits = 0x7fffffffu, smallest_nan = 0x7f800001u;
};
template <>
struct Magnitudes<Half> {
  using Bits = uint16_t;
  static constexpr uint32_t magnitude_bits = 0x7fffu, smallest_nan = 0x7c01u;
};
template <>
struct Magnitudes<BFloat16> {
  using Bits = uint16_t;
  static constexpr uint32_t magnitude_bits = 0x7fffu, smallest_nan = 0x7f81u;
};
template <>
struct Magnitudes<Float8E4m3fn> {
  using Bits = uint8_t;
  static constexpr uint32_t magnitude_bits = 0x7fu, smallest_nan = 0x7fu;
};

template <class T>
TORCHAO_OPS_INLINE uint32_t magnitude_of(T value) {
  typename Magnitudes<T>::Bits bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t magnitude = bits & Magnitudes<T>::magnitude_bits;
  return magnitude < Magnitudes<T>::smallest_nan ? magnitude : Magnitudes<T>::smallest_nan;
}
TORCHAO_OPS_INLINE uint32_t magnitude_of(int8_t value) { return static_cast<uint32_t>(value < 0 ? -value : value); }

// Calls f(T()) with the C++ type of the values.
template <class F>
TORCHAO_OPS_INLINE void with_value_type(sparse24::ValueType type, const F& f) {
  switch (type) {
    case sparse24::ValueType::f32: f(float()); break;
    case sparse24::ValueType::f16: f(Half()); break;
    case sparse24::ValueType::bf16: f(BFloat16()); break;
    case sparse24::ValueType::int8: f(int8_t()); break;
    case sparse24::ValueType::e4m3fn: f(Float8E4m3fn()); break;
  }
}

struct Choice {
  uint32_t largest;  // a bit for each of the two largest magnitudes of each quad
  uint32_t nonzero;  // and one for each element that is no zero
};

struct ScalarEight {
  template <class T>
  TORCHAO_OPS_INLINE static Choice choose(const T* weight) {
    Choice choice{0, 0};
    for (int quad = 0; quad < 8; quad += 4) {
      uint32_t m[4], before[4] = {};
      for (int i = 0; i < 4; ++i) m[i] = magnitude_of(weight[quad + i]);
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < i; ++j) {
          const uint32_t i_first = m[i] > m[j] ? 1 : 0;
          before[j] += i_first;
          before[i] += 1 - i_first;
        }
      }
      for (int i = 0; i < 4; ++i) {
        choice.largest |= (before[i] < 2 ? 1u : 0u) << (quad + i);
        choice.nonzero |= (m[i] != 0 ? 1u : 0u) << (quad + i);
      }
    }
    return choice;
  }

  TORCHAO_OPS_INLINE static void store_mask(uint32_t bits, uint8_t* mask) {
    for (int i = 0; i < 8; ++i) mask[i] = static_cast<uint8_t>(bits >> i & 1);
  }
  TORCHAO_OPS_INLINE static uint32_t load_mask(const uint8_t* mask) {
    uint32_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (mask[i] != 0 ? 1u : 0u) << i;
    return bits;
  }

  // The four elements that `kept` marks, two of each quad; those that `marked` does not mark become +0.
  template <class T>
  TORCHAO_OPS_INLINE static void pack(const T* weight, uint32_t kept, uint32_t marked, T* values) {
    for (int i = 0; i < 8; ++i) {
      if ((kept >> i & 1) == 0) continue;
      *values++ = (marked >> i & 1) != 0 ? weight[i] : T();
    }
  }
};

}  // namespace
}  // namespace torchao_ops
