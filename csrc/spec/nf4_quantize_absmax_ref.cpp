#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "csrc/spec/nf4_quantize_absmax.h"

namespace torchao_ops {
namespace {

float mean(const Nf4QuantizeAbsmaxArgs& args) {
  if (args.count == 0) return 0.0f;
  std::vector<double> parts(nf4::mean_parts, 0.0);
  for (int64_t i = 0; i < args.count; ++i) parts[i % nf4::mean_parts] += load_float(args.absmax, args.type, i);
  for (int half = nf4::mean_parts / 2; half >= 1; half /= 2)
    for (int j = 0; j < half; ++j) parts[j] += parts[j + half];
  return static_cast<float>(parts[0] / static_cast<double>(args.count));
}

uint8_t code_of(float v) {
  const float clamped = v > -1.0f ? std::min(v, 1.0f) : -1.0f;  // -1 for NaN: 0 * Inf
  const float position = std::fma((clamped + 1.0f) * 0.5f, 65535.0f, 0.5f);
  const float p = -1.0f + 2.0f * std::floor(position) / 65535.0f;
  int code = 0;
  for (int c = 0; c < 255; ++c) code += 0.5f * (nf4::absmax_value(c) + nf4::absmax_value(c + 1)) < p ? 1 : 0;
  return static_cast<uint8_t>(code);
}

}  // namespace

void nf4_quantize_absmax_ref(const Nf4QuantizeAbsmaxArgs& args) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const float offset = mean(args);
  const bool usable = is_finite(offset);
  *args.offset = usable ? offset : nan;
  for (int c = 0; c < 256; ++c) args.absmax_code[c] = nf4::absmax_value(c);
  for (int64_t begin = 0; begin < args.count; begin += args.nested_block_size) {
    const int64_t end = std::min(args.count - begin, args.nested_block_size) + begin;
    auto difference = [&](int64_t i) { return usable ? load_float(args.absmax, args.type, i) - offset : 0.0f; };
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(difference(i)));
    const bool coded = is_finite(largest) && largest != 0;
    args.nested_absmax[begin / args.nested_block_size] = is_finite(largest) ? largest : nan;
    for (int64_t i = begin; i < end; ++i) args.codes[i] = coded ? code_of(difference(i) * (1.0f / largest)) : 0;
  }
}

}  // namespace torchao_ops
