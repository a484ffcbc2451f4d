// nf4_quantize_absmax, for the file of each ISA (quantize_weight.h).
#pragma once

#include "csrc/cpu/nf4_quantize_absmax.h"
#include "csrc/cpu/quantize_weight.h"

namespace torchao_ops {
namespace {

template <class T>
TORCHAO_OPS_INLINE float mean(const T* absmax, int64_t count) {
  if (count == 0) return 0.0f;
  double parts[nf4::mean_parts] = {};
  for (int64_t i = 0; i < count; i += nf4::mean_parts) {
    const int64_t some = count - i < nf4::mean_parts ? count - i : nf4::mean_parts;
    for (int64_t j = 0; j < some; ++j) parts[j] += to_float(absmax[i + j]);
  }
  for (int half = nf4::mean_parts / 2; half >= 1; half /= 2)
    for (int j = 0; j < half; ++j) parts[j] += parts[j + half];
  return static_cast<float>(parts[0] / static_cast<double>(count));
}

// Midpoints of the sorted codes, and one that nothing is above, for a search in eight steps.
struct Midpoints {
  float values[256];
};
constexpr Midpoints make_midpoints() {
  Midpoints m = {};
  for (int c = 0; c < 255; ++c) m.values[c] = 0.5f * (nf4::absmax_value(c) + nf4::absmax_value(c + 1));
  m.values[255] = 2.0f;
  return m;
}
constexpr Midpoints midpoints = make_midpoints();

TORCHAO_OPS_INLINE uint8_t nearest_code(float v) {
  const float raised = v > -1.0f ? v : -1.0f;  // -1 for NaN: 0 * Inf
  const float clamped = raised > 1.0f ? 1.0f : raised;
  // The fused multiply-add of the contract: in double precision both steps are exact, and the result is rounded once.
  const double position = double{(clamped + 1.0f) * 0.5f} * 65535.0 + 0.5;
  const int32_t i = static_cast<int32_t>(static_cast<float>(position));
  const float p = -1.0f + 2.0f * static_cast<float>(i) / 65535.0f;
  int code = 0;  // found without branches, of which every second would be guessed wrong
  for (int step = 128; step > 0; step /= 2) code += step * static_cast<int>(midpoints.values[code + step - 1] < p);
  return static_cast<uint8_t>(code);
}

template <class T>
TORCHAO_OPS_INLINE void quantize_block(const Nf4QuantizeAbsmaxArgs& args, float offset, int64_t block) {
  const int64_t begin = block * args.nested_block_size;
  const int64_t count = args.count - begin < args.nested_block_size ? args.count - begin : args.nested_block_size;
  const T* absmax = static_cast<const T*>(args.absmax) + begin;
  uint8_t* codes = args.codes + begin;
  float largest = 0.0f;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    const float difference = to_float(absmax[i]) - offset;
    const float magnitude = difference < 0.0f ? -difference : difference;
    largest = magnitude > largest ? magnitude : largest;
    finite = finite && is_finite(difference);
  }
  args.nested_absmax[block] = finite ? largest : float_from_bits(0x7fc00000u);
  const bool coded = finite && largest != 0.0f;
  const float factor = 1.0f / (coded ? largest : 1.0f);
  for (int64_t i = 0; i < count; ++i) codes[i] = coded ? nearest_code((to_float(absmax[i]) - offset) * factor) : 0;
}

template <class T>
TORCHAO_OPS_INLINE void quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel) {
  const float offset = mean(static_cast<const T*>(args.absmax), args.count);
  const bool usable = is_finite(offset);
  *args.offset = usable ? offset : float_from_bits(0x7fc00000u);
  for (int c = 0; c < 256; ++c) args.absmax_code[c] = nf4::absmax_value(c);
  const int64_t blocks = ceil_div(args.count, args.nested_block_size);
  if (!usable) {
    for (int64_t i = 0; i < args.count; ++i) args.codes[i] = 0;
    for (int64_t i = 0; i < blocks; ++i) args.nested_absmax[i] = 0.0f;
    return;
  }
  for_each_piece_of_rows(blocks, parallel, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t block = begin; block < end; ++block) quantize_block<T>(args, offset, block);
  });
}

TORCHAO_OPS_INLINE Status quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel) {
  switch (args.type) {
    case FloatType::f32: quantize_absmax<float>(args, parallel); break;
    case FloatType::f16: quantize_absmax<Half>(args, parallel); break;
    case FloatType::bf16: quantize_absmax<BFloat16>(args, parallel); break;
  }
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
