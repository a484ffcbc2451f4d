// fp8_quantize, for the file of each ISA (quantize_weight.h).
#pragma once

#include "csrc/cpu/fp8_quantize.h"
#include "csrc/cpu/quantize_weight.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

// from_float of a number that is not NaN, without branches. Adding 2^(e + 23 - mantissa bits) to a number of exponent e rounds it to the type's grid, and leaves
// the multiple of the grid's unit in the sum's last bits; the numbers of each exponent are as many codes, and the subnormal ones begin them.
template <class F>
TORCHAO_OPS_INLINE uint8_t code_of(float value) {
  constexpr bool e4m3fn = F::largest == Float8E4m3fn::largest;
  constexpr uint32_t mantissa_bits = e4m3fn ? 3 : 2, smallest_exponent = e4m3fn ? 127 - 6 : 127 - 14;
  constexpr uint32_t largest = e4m3fn ? 0x43e00000u : 0x47600000u;
  const uint32_t bits = float_bits(value);
  uint32_t magnitude = bits & 0x7fffffffu;
  magnitude = magnitude < largest ? magnitude : largest;
  uint32_t exponent = magnitude >> 23;
  exponent = exponent > smallest_exponent ? exponent : smallest_exponent;
  const uint32_t shift = (exponent + 23 - mantissa_bits) << 23;
  const uint32_t units = float_bits(float_from_bits(magnitude) + float_from_bits(shift)) - shift;
  return static_cast<uint8_t>((bits >> 24 & 0x80u) | (units + ((exponent - smallest_exponent) << mantissa_bits)));
}

template <class F, class T>
TORCHAO_OPS_INLINE void codes_of(const T* input, int64_t count, float scale, uint8_t* codes) {
  if (!is_finite(scale) || scale == 0.0f) {
    for (int64_t k = 0; k < count; ++k) codes[k] = 0;
    return;
  }
  int64_t k = 0;
  for (; k + width <= count; k += width)
    for (int i = 0; i < width; ++i) codes[k + i] = code_of<F>(to_float(input[k + i]) / scale);
  for (; k < count; ++k) codes[k] = code_of<F>(to_float(input[k]) / scale);
}

// max|x|, or NaN if one is not finite; of two of these the larger, NaN above all.
template <class T>
TORCHAO_OPS_INLINE float magnitude_of(const T* input, int64_t count) {
  const Range range = range_of(input, count);
  if (!range.finite) return float_from_bits(0x7fc00000u);
  return -range.lo > range.hi ? -range.lo : range.hi;
}
TORCHAO_OPS_INLINE float larger(float a, float b) { return float_bits(a) > float_bits(b) ? a : b; }

template <class F, class T>
class Fp8Quantizer {
 public:
  TORCHAO_OPS_INLINE explicit Fp8Quantizer(const Fp8QuantizeArgs& args) : args_(args), G_(group_count(args.K, args.group_size)) {}

  TORCHAO_OPS_INLINE Status run(const Parallel& parallel) const {
    const int64_t N = args_.N, blocks = ceil_div(N, args_.row_block);
    if (args_.row_block == 1) {
      for_each_piece_of_rows(N, parallel, [&](int64_t begin, int64_t end, int64_t) {
        for (int64_t n = begin; n < end; ++n) {
          for_each_group([&](int64_t g, int64_t k, int64_t count) { set_scale(n, g, magnitude_of(input(n) + k, count)); });
          set_codes(n);
        }
      });
      return Status::ok;
    }
    Scratch<float> magnitudes(N * G_);
    if (!all_allocated(magnitudes)) return Status::out_of_memory;
    for_each_piece_of_rows(N, parallel, [&](int64_t begin, int64_t end, int64_t) {
      for (int64_t n = begin; n < end; ++n) {
        for_each_group(
            [&](int64_t g, int64_t k, int64_t count) { magnitudes.get()[n * G_ + g] = magnitude_of(input(n) + k, count); });
      }
    });
    for_each_piece(parallel, blocks, [&](int64_t block, int64_t) {
      const int64_t begin = block * args_.row_block, end = N - begin < args_.row_block ? N : begin + args_.row_block;
      for (int64_t g = 0; g < G_; ++g) {
        float magnitude = 0;
        for (int64_t n = begin; n < end; ++n) magnitude = larger(magnitude, magnitudes.get()[n * G_ + g]);
        set_scale(block, g, magnitude);
      }
    });
    for_each_piece_of_rows(N, parallel, [&](int64_t begin, int64_t end, int64_t) {
      for (int64_t n = begin; n < end; ++n) set_codes(n);
    });
    return Status::ok;
  }

 private:
  TORCHAO_OPS_INLINE const T* input(int64_t n) const { return static_cast<const T*>(args_.input) + n * args_.input_row_stride; }
  TORCHAO_OPS_INLINE T* scale(int64_t block, int64_t g) const { return static_cast<T*>(args_.scale) + block * G_ + g; }

  // body(g, k, count) for each group's `count` columns from k on.
  template <class Body>
  TORCHAO_OPS_INLINE void for_each_group(const Body& body) const {
    for (int64_t g = 0; g < G_; ++g) {
      const int64_t k = g * args_.group_size;
      body(g, k, args_.K - k < args_.group_size ? args_.K - k : args_.group_size);
    }
  }

  TORCHAO_OPS_INLINE void set_scale(int64_t block, int64_t g, float magnitude) const {
    from_float(magnitude / F::largest, scale(block, g));
  }

  TORCHAO_OPS_INLINE void set_codes(int64_t n) const {
    uint8_t* codes = static_cast<uint8_t*>(args_.codes) + n * args_.K;
    for_each_group([&](int64_t g, int64_t k, int64_t count) {
      codes_of<F>(input(n) + k, count, to_float(*scale(n / args_.row_block, g)), codes + k);
    });
  }

  const Fp8QuantizeArgs& args_;
  const int64_t G_;
};

template <class F>
TORCHAO_OPS_INLINE Status quantize_to(const Fp8QuantizeArgs& args, const Parallel& parallel) {
  switch (args.type) {
    case FloatType::f32: return Fp8Quantizer<F, float>(args).run(parallel);
    case FloatType::f16: return Fp8Quantizer<F, Half>(args).run(parallel);
    case FloatType::bf16: return Fp8Quantizer<F, BFloat16>(args).run(parallel);
  }
  return Status::ok;
}

TORCHAO_OPS_INLINE Status quantize(const Fp8QuantizeArgs& args, const Parallel& parallel) {
  return args.code_type == Float8Type::e4m3fn ? quantize_to<Float8E4m3fn>(args, parallel)
                                              : quantize_to<Float8E5m2>(args, parallel);
}

}  // namespace
}  // namespace torchao_ops
