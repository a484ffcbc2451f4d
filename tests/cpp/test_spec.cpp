// The references against numbers worked out by hand: what the formats and operators mean.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "csrc/spec/int4_dequantize.h"
#include "csrc/spec/int4_mm.h"
#include "csrc/spec/int4_quantize.h"
#include "csrc/spec/int8_dequantize.h"
#include "csrc/spec/int8_mm.h"
#include "csrc/spec/int8_quantize.h"
#include "csrc/spec/nf4_dequantize.h"
#include "csrc/spec/nf4_mm.h"
#include "csrc/spec/nf4_quantize.h"
#include "csrc/spec/nf4_quantize_absmax.h"

namespace torchao_ops::test {
namespace {

struct Quantized {
  std::vector<uint8_t> packed;
  std::vector<float> scale, zero_point;
};

Quantized quantize(const std::vector<float>& weight, int64_t N, int64_t group_size, bool symmetric) {
  const int64_t K = static_cast<int64_t>(weight.size()) / N, G = group_count(K, group_size);
  Quantized q{std::vector<uint8_t>(static_cast<size_t>(N * int4::packed_columns(K)), 0xee),
              std::vector<float>(static_cast<size_t>(N * G)), std::vector<float>(static_cast<size_t>(N * G))};
  int4_quantize_ref(
      {weight.data(), FloatType::f32, K, N, K, group_size, symmetric, q.packed.data(), q.scale.data(), q.zero_point.data()});
  return q;
}

// [-1, 2] spans 3 = 15 steps of 0.2, and 0 is the fifth.
TEST(Int4QuantizeRef, Asymmetric) {
  const Quantized q = quantize({-1, 0, 1, 2}, 1, 4, false);
  EXPECT_EQ(q.scale, std::vector<float>{0.2f});
  EXPECT_EQ(q.zero_point, std::vector<float>{5});
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0x50, 0xfa}));
}

// The range always includes 0: weights from 15 to 30 have the scale of [0, 30].
TEST(Int4QuantizeRef, AsymmetricRangeIncludesZero) {
  const Quantized q = quantize({15, 30}, 1, 2, false);
  EXPECT_EQ(q.scale, std::vector<float>{2});
  EXPECT_EQ(q.zero_point, std::vector<float>{0});
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0xf8}));  // 7.5 rounds to 8
}

TEST(Int4QuantizeRef, SymmetricRoundsHalfToEven) {
  const Quantized q = quantize({7, -7, 0.5f, 1.5f, -0.5f, -1.5f}, 1, 6, true);
  EXPECT_EQ(q.scale, std::vector<float>{1});
  EXPECT_EQ(q.zero_point, std::vector<float>{8});
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0x1f, 0xa8, 0x68}));  // 15 1, 8 10, 8 6
}

// Two rows of 3 with groups of 2: a partial group, and a nibble that no element has.
TEST(Int4QuantizeRef, PartialGroupAndOddRow) {
  const Quantized q = quantize({7, 0, 14, 0, -21, 0}, 2, 2, true);
  EXPECT_EQ(q.scale, (std::vector<float>{1, 2, 3, 0}));
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0x8f, 0x0f, 0x18, 0x08}));
}

TEST(Int4QuantizeRef, ZerosAndBrokenGroups) {
  const Quantized q = quantize({0, 0, INFINITY, 1, NAN, 1, 3e38f, -3e38f}, 1, 2, false);
  EXPECT_EQ(q.scale[0], 0.0f);
  EXPECT_TRUE(std::isnan(q.scale[1])) << "a group with an infinity";
  EXPECT_TRUE(std::isnan(q.scale[2])) << "a group with a NaN";
  EXPECT_TRUE(std::isnan(q.scale[3])) << "a group whose range overflows";
  EXPECT_EQ(q.zero_point, (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0, 0, 0, 0}));
}

// The scale is rounded to the weight's type first: max|w| = 1 in bf16 gives 1/7 = 0.14285..., in bf16 0.142578125.
TEST(Int4QuantizeRef, ScaleHasTheWeightsType) {
  const BFloat16 weight[] = {{0x3f80}, {0xbf80}};  // 1, -1
  uint8_t packed[1];
  BFloat16 scale[1], zero_point[1];
  int4_quantize_ref({weight, FloatType::bf16, 2, 1, 2, 2, true, packed, scale, zero_point});
  EXPECT_EQ(to_float(scale[0]), 0.142578125f);
  EXPECT_EQ(to_float(zero_point[0]), 8.0f);
  EXPECT_EQ(packed[0], 0x1f);
}

// A weight [2, 3] with groups of 2: codes 1 2 3 and 15 0 8.
struct SmallWeight {
  uint8_t packed[4] = {0x21, 0xf3, 0x0f, 0xf8};  // the last high nibble of a row is no element
  float scale[4] = {0.5f, 2, 1, 0.25f};
  float zero_point[4] = {1, 2.5f, 8, 0};
  int4::Weight view() const { return {packed, 2, scale, FloatType::f32, 2, zero_point, FloatType::f32, 2, 2, 3, 2}; }
};

TEST(Int4DequantizeRef, Values) {
  float out[6];
  int4_dequantize_ref({SmallWeight{}.view(), out, FloatType::f32});
  EXPECT_EQ(std::vector<float>(out, out + 6), (std::vector<float>{0, 0.5f, 1, 7, -8, 2}));
}

TEST(Int4DequantizeRef, WithoutZeroPointEightIsZero) {
  const SmallWeight weight;
  int4::Weight view = weight.view();
  view.zero_point = nullptr;
  float out[6];
  int4_dequantize_ref({view, out, FloatType::f32});
  EXPECT_EQ(std::vector<float>(out, out + 6), (std::vector<float>{-3.5f, -3, -10, 7, -8, 0}));
}

TEST(Int4DequantizeRef, RoundsToTheTypeOfTheResult) {
  const SmallWeight weight;
  int4::Weight view = weight.view();
  const float scale[4] = {0.5f, 1 + 0x1p-9f, 1, 1};
  view.scale = scale;
  BFloat16 out[6];
  int4_dequantize_ref({view, out, FloatType::bf16});
  EXPECT_EQ(to_float(out[2]), 0.5f);  // 0.5 * (1 + 2^-9) lies just above 0.5, whose neighbour is 2^-8 away
}

TEST(Int4MmRef, Values) {
  const SmallWeight weight;
  const float x[6] = {1, 2, 3, -1, 0, 10};
  const float bias[2] = {100, -100};
  double y[4];
  int4_mm_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 4), (std::vector<double>{1 + 3, 7 - 16 + 6, 10, -7 + 20}));
  int4_mm_ref({{x, FloatType::f32, 3, bias, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 4), (std::vector<double>{104, -103, 110, -87}));
}

TEST(Int4MmRef, NoColumnsGiveTheBias) {
  const float bias[2] = {1, 2};
  double y[2];
  int4_mm_ref({{nullptr, FloatType::f32, 0, bias, FloatType::f32, nullptr, 1},
               {nullptr, 0, nullptr, FloatType::f32, 0, nullptr, FloatType::f32, 0, 2, 0, 32}},
              y);
  EXPECT_EQ(y[0], 1);
  EXPECT_EQ(y[1], 2);
}

// Row 0: max 254, scale 2, q = 127, 0 (0.5 to even), 2 (1.5 to even). Row 1 holds an infinity and is not quantized. Row 2 is zero.
TEST(Int4DynamicMmRef, Values) {
  const SmallWeight weight;
  const float x[9] = {254, 1, 3, 1, INFINITY, 2, 0, 0, 0};
  double y[6];
  int4_dynamic_mm_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 3}, weight.view()}, y);
  EXPECT_EQ(y[0], 254 * 0 + 0 * 0.5 + 4 * 1);
  EXPECT_EQ(y[1], 254 * 7 + 0 * -8 + 4 * 2);
  EXPECT_EQ(y[2], INFINITY);
  EXPECT_EQ(y[3], -INFINITY);
  EXPECT_EQ(y[4], 0);
  EXPECT_EQ(y[5], 0);
}

// The largest magnitude is the smallest subnormal: its 127th part is no number, so the row is not quantized.
TEST(Int4DynamicMmRef, RowWithoutAScaleIsNotQuantized) {
  const SmallWeight weight;
  const float x[3] = {0, 0x1p-149f, 0};
  double y[2];
  int4_dynamic_mm_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 1}, weight.view()}, y);
  EXPECT_EQ(y[0], 0x1p-150);
  EXPECT_EQ(y[1], -0x1p-146);
}

struct QuantizedInt8 {
  std::vector<int> codes;
  std::vector<float> scale;
};

QuantizedInt8 quantize_int8(const std::vector<float>& weight, int64_t N, int64_t group_size) {
  const int64_t K = static_cast<int64_t>(weight.size()) / N;
  std::vector<int8_t> codes(weight.size());
  std::vector<float> scale(static_cast<size_t>(N * group_count(K, group_size)));
  int8_quantize_ref({weight.data(), FloatType::f32, K, N, K, group_size, codes.data(), scale.data()});
  return {std::vector<int>(codes.begin(), codes.end()), scale};
}

// Row 0 has steps of 2 (0.5 and 1.5 of them to even), row 1 of 0.25; INT64_MAX is what operators make of a scale a row.
TEST(Int8QuantizeRef, ScalePerRow) {
  const QuantizedInt8 q = quantize_int8({254, -1, 3, 31.75f, -31.75f, 0}, 2, INT64_MAX);
  EXPECT_EQ(q.scale, (std::vector<float>{2, 0.25f}));
  EXPECT_EQ(q.codes, (std::vector<int>{127, 0, 2, 127, -127, 0}));
}

TEST(Int8QuantizeRef, PartialGroup) {
  const QuantizedInt8 q = quantize_int8({127, -127, -254, 0, 0, 381}, 2, 2);
  EXPECT_EQ(q.scale, (std::vector<float>{1, 2, 0, 3}));
  EXPECT_EQ(q.codes, (std::vector<int>{127, -127, -127, 0, 0, 127}));
}

TEST(Int8QuantizeRef, ZerosAndBrokenGroups) {
  const QuantizedInt8 q = quantize_int8({0, 0, INFINITY, 1, NAN, 1, 0x1p-149f, 0}, 1, 2);
  EXPECT_EQ(q.scale[0], 0.0f);
  EXPECT_TRUE(std::isnan(q.scale[1])) << "a group with an infinity";
  EXPECT_TRUE(std::isnan(q.scale[2])) << "a group with a NaN";
  EXPECT_EQ(q.scale[3], 0.0f) << "the 127th part of the smallest subnormal";
  EXPECT_EQ(q.codes, std::vector<int>(8, 0));
}

// The scale is rounded to the weight's type first: 100 / 127 = 0.7874..., in bf16 0.7890625, of which 100 is 126.7.
TEST(Int8QuantizeRef, ScaleHasTheWeightsType) {
  const BFloat16 weight[] = {{0x42c8}, {0xc248}};  // 100, -50
  int8_t codes[2];
  BFloat16 scale[1];
  int8_quantize_ref({weight, FloatType::bf16, 2, 1, 2, 2, codes, scale});
  EXPECT_EQ(to_float(scale[0]), 0.7890625f);
  EXPECT_EQ(codes[0], 127);
  EXPECT_EQ(codes[1], -63);
}

// A weight [2, 3] with groups of 2, among its codes the -128 that the quantizer does not make.
struct SmallInt8Weight {
  int8_t codes[6] = {1, -2, 3, 127, -128, 0};
  float scale[4] = {0.5f, 2, 1, 0.25f};
  int8::Weight view() const { return {codes, 3, scale, FloatType::f32, 2, 2, 3, 2}; }
};

TEST(Int8DequantizeRef, Values) {
  float out[6];
  int8_dequantize_ref({SmallInt8Weight{}.view(), out, FloatType::f32});
  EXPECT_EQ(std::vector<float>(out, out + 6), (std::vector<float>{0.5f, -1, 6, 127, -128, 0}));
}

TEST(Int8MmRef, Values) {
  const SmallInt8Weight weight;
  const float x[6] = {1, 2, 3, -1, 0, 10};
  const float bias[2] = {100, -100};
  double y[4];
  int8_mm_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 4), (std::vector<double>{0.5 - 2 + 18, 127 - 256, -0.5 + 60, -127}));
  int8_mm_ref({{x, FloatType::f32, 3, bias, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 4), (std::vector<double>{116.5, -229, 159.5, -227}));
}

// The rows of Int4DynamicMmRef.
TEST(Int8DynamicMmRef, Values) {
  const SmallInt8Weight weight;
  const float x[9] = {254, 1, 3, 1, INFINITY, 2, 0, 0, 0};
  double y[6];
  int8_dynamic_mm_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 3}, weight.view()}, y);
  EXPECT_EQ(y[0], 254 * 0.5 + 0 * -1 + 4 * 6);
  EXPECT_EQ(y[1], 254 * 127 + 0 * -128 + 4 * 0);
  EXPECT_EQ(y[2], -INFINITY);
  EXPECT_EQ(y[3], -INFINITY);
  EXPECT_EQ(y[4], 0);
  EXPECT_EQ(y[5], 0);
}

struct QuantizedNf4 {
  std::vector<uint8_t> packed;
  std::vector<float> absmax;
};

// Blocks of 4 are smaller than what the operator takes, and large enough for literals.
QuantizedNf4 quantize_nf4(const std::vector<float>& weight) {
  const int64_t count = static_cast<int64_t>(weight.size());
  QuantizedNf4 q{std::vector<uint8_t>(static_cast<size_t>(nf4::packed_bytes(count)), 0xee),
                 std::vector<float>(static_cast<size_t>(ceil_div(count, 4)))};
  nf4_quantize_ref({weight.data(), FloatType::f32, count, 4, q.packed.data(), q.absmax.data()});
  return q;
}

// Of absmax 2: -1, 0, 0.5 (nearer to 0.44 than to 0.56) and 1. The last block has one element, and a nibble that no element has.
TEST(Nf4QuantizeRef, NearestCodes) {
  const QuantizedNf4 q = quantize_nf4({-2, 0, 1, 2, -3});
  EXPECT_EQ(q.absmax, (std::vector<float>{2, 3}));
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0x07, 0xcf, 0x07}));
}

// 0.03979015 is the midpoint of codes 7 and 8, 0 and 0.0795803.
TEST(Nf4QuantizeRef, TiesTakeTheLowerCode) {
  const float tie = 0.07958029955625534f / 2;
  const QuantizedNf4 q = quantize_nf4({1, tie, std::nextafter(tie, 1.0f), std::nextafter(tie, 0.0f)});
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0xf7, 0x87}));
}

TEST(Nf4QuantizeRef, ZerosAndBrokenBlocks) {
  const QuantizedNf4 q = quantize_nf4({0, -0.0f, 0, 0, 1, INFINITY, 1, 1, NAN, 1, 1, 1, 0, 0, 0});
  EXPECT_EQ(q.absmax[0], 0.0f);
  EXPECT_TRUE(std::isnan(q.absmax[1])) << "a block with an infinity";
  EXPECT_TRUE(std::isnan(q.absmax[2])) << "a block with a NaN";
  EXPECT_EQ(q.absmax[3], 1e-38f) << "bitsandbytes' zeros in a partial block";
  EXPECT_EQ(q.packed, (std::vector<uint8_t>{0x77, 0x77, 0xff, 0xff, 0xff, 0xff, 0x77, 0x77}));
}

struct QuantizedAbsmax {
  std::vector<uint8_t> codes;
  std::vector<float> absmax_code, nested_absmax;
  float offset;
};

QuantizedAbsmax quantize_absmax(const std::vector<float>& absmax, int64_t nested_block_size) {
  const int64_t count = static_cast<int64_t>(absmax.size());
  QuantizedAbsmax q{std::vector<uint8_t>(absmax.size()), std::vector<float>(256),
                    std::vector<float>(static_cast<size_t>(ceil_div(count, nested_block_size))), 0};
  nf4_quantize_absmax_ref({absmax.data(), FloatType::f32, count, nested_block_size, q.codes.data(), q.absmax_code.data(),
                           q.nested_absmax.data(), &q.offset});
  return q;
}

// The mean is 2. Of the first block's differences, -1 and 1, the lower is nearest to the lowest code; the second's, 0.5 and -0.5, are as large as any; of
// the last block's, 0, nothing is left to scale.
TEST(Nf4QuantizeAbsmaxRef, Values) {
  const QuantizedAbsmax q = quantize_absmax({1, 3, 2.5f, 1.5f, 2}, 2);
  EXPECT_EQ(q.offset, 2.0f);
  EXPECT_EQ(q.nested_absmax, (std::vector<float>{1, 0.5f, 0}));
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{0, 255, 255, 0, 0}));
}

// What bitsandbytes' create_dynamic_map() gives.
TEST(Nf4QuantizeAbsmaxRef, Codes) {
  const QuantizedAbsmax q = quantize_absmax({}, 256);
  const struct {
    int code;
    float value;
  } some[] = {{0, -0.992968738f},
              {1, -0.978906274f},
              {63, -0.107031256f},
              {126, -5.50000038e-07f},
              {127, 0},
              {128, 5.50000038e-07f},
              {129, 3.25000019e-06f},
              {130, 7.7499999e-06f},
              {191, 0.107031256f},
              {200, 0.233593747f},
              {254, 0.992968738f},
              {255, 1}};
  for (const auto& [code, value] : some) EXPECT_EQ(q.absmax_code[code], value) << code;
  for (int code = 1; code < 256; ++code) EXPECT_LT(q.absmax_code[code - 1], q.absmax_code[code]);
  EXPECT_EQ(q.offset, 0.0f);
}

TEST(Nf4QuantizeAbsmaxRef, BrokenWeights) {
  for (const float broken : {NAN, INFINITY}) {
    const QuantizedAbsmax q = quantize_absmax({1, broken, 2}, 2);
    EXPECT_TRUE(std::isnan(q.offset));
    EXPECT_EQ(q.nested_absmax, (std::vector<float>{0, 0}));
    EXPECT_EQ(q.codes, (std::vector<uint8_t>{0, 0, 0}));
  }
}

// A weight [3, 3] in blocks of 4: rows and bytes straddle each other, and so do rows and blocks. Codes 0 15 7 | 15 0 0 | 7 15 15.
struct SmallNf4Weight {
  uint8_t packed[5] = {0x0f, 0x7f, 0x00, 0x7f, 0xf3};
  float absmax[3] = {1, 2, 4};
  nf4::Weight view() const { return {packed, absmax, FloatType::f32, nullptr, nullptr, nullptr, 0, 3, 3, 4}; }
};

TEST(Nf4DequantizeRef, Values) {
  float out[9];
  nf4_dequantize_ref({SmallNf4Weight{}.view(), out, FloatType::f32});
  EXPECT_EQ(std::vector<float>(out, out + 9), (std::vector<float>{-1, 1, 0, 1, -2, -2, 0, 2, 4}));
}

// The codebook: each code with absmax 1, and one that is rounded to bf16.
TEST(Nf4DequantizeRef, Codebook) {
  const uint8_t packed[8] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
  const float absmax = 1;
  float out[16];
  nf4_dequantize_ref({{packed, &absmax, FloatType::f32, nullptr, nullptr, nullptr, 0, 1, 16, 32}, out, FloatType::f32});
  const std::vector<float> codebook{-1.0f,
                                    -0.6961928009986877f,
                                    -0.5250730514526367f,
                                    -0.39491748809814453f,
                                    -0.28444138169288635f,
                                    -0.18477343022823334f,
                                    -0.09105003625154495f,
                                    0.0f,
                                    0.07958029955625534f,
                                    0.16093020141124725f,
                                    0.24611230194568634f,
                                    0.33791524171829224f,
                                    0.44070982933044434f,
                                    0.5626170039176941f,
                                    0.7229568362236023f,
                                    1.0f};
  EXPECT_EQ(std::vector<float>(out, out + 16), codebook);
  BFloat16 rounded[16];
  nf4_dequantize_ref({{packed, &absmax, FloatType::f32, nullptr, nullptr, nullptr, 0, 1, 16, 32}, rounded, FloatType::bf16});
  EXPECT_EQ(to_float(rounded[1]), -0.6953125f);
}

// absmax = code * nested + offset: 2 * 3 + 1, -1 * 3 + 1 and 2 * 0.5 + 1.
TEST(Nf4DequantizeRef, DoubleQuantization) {
  float absmax_code[256] = {}, out[9];
  absmax_code[10] = 2;
  absmax_code[255] = -1;
  const uint8_t codes[3] = {10, 255, 10};
  const float nested[2] = {3, 0.5f}, offset = 1;
  nf4::Weight view = SmallNf4Weight{}.view();
  const SmallNf4Weight weight;
  view.packed = weight.packed;
  view.absmax = codes;
  view.absmax_code = absmax_code;
  view.nested_absmax = nested;
  view.absmax_offset = &offset;
  view.nested_block_size = 2;
  nf4_dequantize_ref({view, out, FloatType::f32});
  EXPECT_EQ(std::vector<float>(out, out + 9), (std::vector<float>{-7, 7, 0, 7, 2, 2, 0, -2, 2}));
}

TEST(Nf4MmRef, Values) {
  const SmallNf4Weight weight;
  const float x[6] = {1, 2, 3, -1, 0, 10}, bias[3] = {100, -100, 0};
  double y[6];
  nf4_mm_ref({{x, FloatType::f32, 3, bias, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 6), (std::vector<double>{101, -109, 16, 101, -121, 40}));
}

TEST(Nf4MmTransposedRef, Values) {
  const SmallNf4Weight weight;
  const float x[6] = {1, 2, 3, -1, 0, 10};
  double y[6];
  nf4_mm_transposed_ref({{x, FloatType::f32, 3, nullptr, FloatType::f32, nullptr, 2}, weight.view()}, y);
  EXPECT_EQ(std::vector<double>(y, y + 6), (std::vector<double>{1, 3, 8, 1, 19, 40}));
}

}  // namespace
}  // namespace torchao_ops::test
