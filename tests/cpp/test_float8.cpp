// The conversions of csrc/spec/float8.h against their definition: all 256 codes of each type, and every rounding boundary between their numbers.
#include "csrc/spec/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cpp/random.h"

namespace torchao_ops::test {
namespace {

// A type, written down independently of the code under test: its mantissa bits, exponent bias, and the codes of the largest number and of Inf.
template <class T>
struct Format;
template <>
struct Format<Float8E4m3fn> {
  static constexpr int mantissa_bits = 3, bias = 7, largest = 0x7e, infinity = -1;
};
template <>
struct Format<Float8E5m2> {
  static constexpr int mantissa_bits = 2, bias = 15, largest = 0x7b, infinity = 0x7c;
};

template <class T>
class Float8 : public testing::Test {
 protected:
  using F = Format<T>;

  static bool is_nan(int code) { return (code & 0x7f) > F::largest && (code & 0x7f) != F::infinity; }

  static double value_of(int code) {
    const int exponent = (code & 0x7f) >> F::mantissa_bits, fraction = code & ((1 << F::mantissa_bits) - 1);
    const double magnitude = exponent == 0
                                 ? std::ldexp(fraction, 1 - F::bias - F::mantissa_bits)
                                 : std::ldexp(fraction + (1 << F::mantissa_bits), exponent - F::bias - F::mantissa_bits);
    return code & 0x80 ? -magnitude : magnitude;
  }

  static int rounded(float value) {
    T result;
    from_float(value, &result);
    return result.bits;
  }
};

using Types = testing::Types<Float8E4m3fn, Float8E5m2>;
TYPED_TEST_SUITE(Float8, Types);

TYPED_TEST(Float8, ToFloatIsExactForAllCodes) {
  for (int code = 0; code < 256; ++code) {
    const float value = to_float(TypeParam{static_cast<uint8_t>(code)});
    if (this->is_nan(code)) {
      ASSERT_TRUE(std::isnan(value)) << code;
    } else if ((code & 0x7f) == Format<TypeParam>::infinity) {
      ASSERT_EQ(value, code & 0x80 ? -INFINITY : INFINITY);
    } else {
      ASSERT_EQ(value, this->value_of(code)) << code;
    }
    ASSERT_EQ(std::signbit(value), (code & 0x80) != 0) << code;
  }
  EXPECT_EQ(this->value_of(Format<TypeParam>::largest), TypeParam::largest);
}

// Inf is no number that anything is rounded to.
TYPED_TEST(Float8, FromFloatGivesAllCodesBack) {
  for (int code = 0; code < 256; ++code) {
    const int back = this->rounded(to_float(TypeParam{static_cast<uint8_t>(code)}));
    if (this->is_nan(code)) {
      ASSERT_EQ(back, code | 0x7f) << code;
    } else {
      ASSERT_EQ(back, (code & 0x7f) == Format<TypeParam>::infinity ? code - 1 : code) << code;
    }
  }
}

// Between two neighbours, everything below the middle goes down, everything above it up, and the middle to the even one.
TYPED_TEST(Float8, FromFloatRoundsToNearestEven) {
  for (int code = 0; code < Format<TypeParam>::largest; ++code) {
    const float low = static_cast<float>(this->value_of(code)), high = static_cast<float>(this->value_of(code + 1));
    const float middle = (low + high) / 2;
    for (const int sign : {0x00, 0x80}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(this->rounded(s * middle), sign | (code % 2 == 0 ? code : code + 1)) << middle;
      ASSERT_EQ(this->rounded(s * std::nextafter(middle, 0.0f)), sign | code) << middle;
      ASSERT_EQ(this->rounded(s * std::nextafter(middle, INFINITY)), sign | (code + 1)) << middle;
      ASSERT_EQ(this->rounded(s * std::nextafter(low, INFINITY)), sign | code) << low;
      ASSERT_EQ(this->rounded(s * std::nextafter(high, 0.0f)), sign | (code + 1)) << high;
    }
  }
}

TYPED_TEST(Float8, FromFloatSaturates) {
  constexpr int largest = Format<TypeParam>::largest;
  const float beyond[] = {std::nextafter(TypeParam::largest, INFINITY), TypeParam::largest * 1.05f, TypeParam::largest * 1.5f,
                          std::numeric_limits<float>::max(), INFINITY};
  for (const float value : beyond) {
    EXPECT_EQ(this->rounded(value), largest) << value;
    EXPECT_EQ(this->rounded(-value), 0x80 | largest) << value;
  }
}

TYPED_TEST(Float8, FromFloatKeepsTheSignOfZero) {
  for (const float tiny : {0.0f, 1e-45f, 1e-38f, 1e-20f}) {
    EXPECT_EQ(this->rounded(tiny), 0) << tiny;
    EXPECT_EQ(this->rounded(-tiny), 0x80) << tiny;
  }
}

TYPED_TEST(Float8, FromFloatKeepsNan) {
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu}) {
    EXPECT_EQ(this->rounded(float_from_bits(nan)), 0x7f) << std::hex << nan;
    EXPECT_EQ(this->rounded(float_from_bits(nan | 0x80000000u)), 0xff) << std::hex << nan;
  }
}

// Any fp32 goes to the nearest number.
TYPED_TEST(Float8, FromFloatGivesTheNearest) {
  Random random(0);
  for (int i = 0; i < 200000; ++i) {
    const float value = static_cast<float>(random.normal() * std::ldexp(1.0, static_cast<int>(random.integer(-20, 18))));
    const double clamped = std::fmin(std::fmax(double{value}, -double{TypeParam::largest}), double{TypeParam::largest});
    const int code = this->rounded(value);
    const double error = std::fabs(this->value_of(code) - clamped);
    for (const int neighbour : {(code & 0x7f) - 1, (code & 0x7f) + 1}) {
      if (neighbour < 0 || neighbour > Format<TypeParam>::largest) continue;
      ASSERT_LE(error, std::fabs(this->value_of((code & 0x80) | neighbour) - clamped)) << value;
    }
  }
}

TEST(Float8Type, LoadsAndStoresByRunTimeType) {
  uint8_t data[4] = {};
  for (const Float8Type type : {Float8Type::e4m3fn, Float8Type::e5m2}) {
    store_float8(-1.5f, data, type, 2);
    EXPECT_EQ(load_float8(data, type, 2), -1.5f);
    EXPECT_EQ(data[2], type == Float8Type::e4m3fn ? 0xbc : 0xbe);
    EXPECT_EQ(largest_of(type), type == Float8Type::e4m3fn ? 448 : 57344);
  }
}

}  // namespace
}  // namespace torchao_ops::test
