// The conversions of csrc/spec/float_types.h against their definition: all 65536 numbers of each 16-bit type, and every rounding boundary
// between them.
#include "csrc/spec/float_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cpp/random.h"

namespace torchao_ops::test {
namespace {

// A binary floating-point type, written down independently of the code under test.
template <class T>
struct Format;
template <>
struct Format<Half> {
  static constexpr int mantissa_bits = 10, exponent_bits = 5;
};
template <>
struct Format<BFloat16> {
  static constexpr int mantissa_bits = 7, exponent_bits = 8;
};

template <class T>
class FloatTypes : public testing::Test {
 protected:
  static constexpr int mantissa_bits = Format<T>::mantissa_bits;
  static constexpr int max_exponent_field = (1 << Format<T>::exponent_bits) - 1;
  static constexpr int bias = max_exponent_field / 2;
  static constexpr int smallest_exponent = 1 - bias - mantissa_bits;  // of the last bit of a subnormal number

  static bool is_nan(uint16_t bits) { return (bits & 0x7fff) > (max_exponent_field << mantissa_bits); }

  // IEEE 754's definition of the value; the code of infinity gives 2^(bias + 1), where rounding to it begins to make sense.
  static double value_of(uint16_t bits) {
    const int exponent = (bits & 0x7fff) >> mantissa_bits;
    const int fraction = bits & ((1 << mantissa_bits) - 1);
    const double magnitude = exponent == 0 ? std::ldexp(fraction, smallest_exponent)
                                           : std::ldexp(fraction + (1 << mantissa_bits), exponent + smallest_exponent - 1);
    return bits & 0x8000 ? -magnitude : magnitude;
  }

  static uint16_t rounded(float value) {
    T result;
    from_float(value, &result);
    return result.bits;
  }
};

using Types = testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(FloatTypes, Types);

TYPED_TEST(FloatTypes, ToFloatIsExactForAllNumbers) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(TypeParam{static_cast<uint16_t>(bits)});
    if (this->is_nan(static_cast<uint16_t>(bits))) {
      ASSERT_TRUE(std::isnan(value)) << std::hex << bits;
    } else if ((bits & 0x7fff) == (this->max_exponent_field << this->mantissa_bits)) {
      ASSERT_EQ(value, bits & 0x8000 ? -INFINITY : INFINITY) << std::hex << bits;
    } else {
      ASSERT_EQ(value, this->value_of(static_cast<uint16_t>(bits))) << std::hex << bits;
    }
    ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0) << std::hex << bits;
  }
}

TYPED_TEST(FloatTypes, FromFloatGivesAllNumbersBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t back = this->rounded(to_float(TypeParam{static_cast<uint16_t>(bits)}));
    if (this->is_nan(static_cast<uint16_t>(bits))) {
      ASSERT_TRUE(this->is_nan(back)) << std::hex << bits;
    } else {
      ASSERT_EQ(back, bits) << std::hex << bits;
    }
  }
}

// Between two neighbours, everything below the middle goes down, everything above it up, and the middle to the even one. The largest number
// and infinity are neighbours, too: IEEE 754 rounds as if the exponent went on.
TYPED_TEST(FloatTypes, FromFloatRoundsToNearestEven) {
  const int infinity = this->max_exponent_field << this->mantissa_bits;
  for (int bits = 0; bits < infinity; ++bits) {
    const double low = this->value_of(static_cast<uint16_t>(bits)), high = this->value_of(static_cast<uint16_t>(bits + 1));
    const float middle = static_cast<float>((low + high) / 2);
    for (const uint16_t sign : {0x0000, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(this->rounded(s * middle), sign | (bits % 2 == 0 ? bits : bits + 1)) << middle;
      ASSERT_EQ(this->rounded(s * std::nextafter(middle, 0.0f)), sign | bits) << middle;
      if (std::isfinite(std::nextafter(middle, INFINITY))) {
        ASSERT_EQ(this->rounded(s * std::nextafter(middle, INFINITY)), sign | (bits + 1)) << middle;
      }
    }
  }
}

TYPED_TEST(FloatTypes, FromFloatKeepsInfinityAndNan) {
  const int infinity = this->max_exponent_field << this->mantissa_bits;
  EXPECT_EQ(this->rounded(INFINITY), infinity);
  EXPECT_EQ(this->rounded(-INFINITY), 0x8000 | infinity);
  EXPECT_EQ(this->rounded(std::numeric_limits<float>::max()), infinity);
  // NaNs whose payload is lost in 16 bits must not become infinity.
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(this->is_nan(this->rounded(float_from_bits(nan)))) << std::hex << nan;
  }
}

TEST(FloatType, IsFinite) {
  for (const float value : {0.0f, -0.0f, 1.0f, 1e-45f, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()}) {
    EXPECT_TRUE(is_finite(value)) << value;
  }
  for (const float value : {INFINITY, -INFINITY, NAN, float_from_bits(0x7f800001u)}) EXPECT_FALSE(is_finite(value)) << value;
}

TEST(FloatType, LoadsAndStoresByRunTimeType) {
  alignas(4) uint8_t data[16] = {};
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    store_float(-1.5f, data, type, 2);
    EXPECT_EQ(load_float(data, type, 2), -1.5f);
    EXPECT_EQ(data[2 * size_of(type) + size_of(type) - 1], type == FloatType::f16 ? 0xbe : 0xbf)
        << "the sign is in the element's last byte";
  }
}

}  // namespace
}  // namespace torchao_ops::test
