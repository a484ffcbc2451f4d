// nf4_quantize_absmax: the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"

namespace torchao_ops {

// Quantizes absmax itself to 8 bits, as bitsandbytes 0.50 does on a CPU, in fp32 but for the mean:
//   offset = mean of absmax, in double precision in the order of mean_parts, rounded to fp32
//   d = absmax - offset, in blocks of nested_block_size; nested_absmax = max|d| of the block
//   v = d * (1 / nested_absmax), clamped to [-1, 1], is moved to the nearest of 65536 grid points: p = -1 + 2 * i / 65535 with
//   i = floor(fma((v + 1) * 0.5, 65535, 0.5))
//   code = the number of midpoints 0.5 * (absmax_code[c] + absmax_code[c + 1]) that are below p
// A block whose d are all 0 has nested_absmax 0 and codes 0.
//
// bitsandbytes takes torch's fp32 mean, whose last bits depend on the number of threads. Where both means are the same number, so are all bytes.
//
// If the offset is not finite (a NaN or an Inf in absmax), it is NaN, and all else is 0: the weight dequantizes to NaN. A block whose
// differences overflow has a NaN nested_absmax and codes 0.
struct Nf4QuantizeAbsmaxArgs {
  const void* absmax;  // [count] adjacent
  FloatType type;
  int64_t count, nested_block_size;  // nested_block_size >= 1
  uint8_t* codes;                    // [count]
  float* absmax_code;                // [256]: nf4::absmax_value of each code
  float* nested_absmax;              // [ceil(count / nested_block_size)]
  float* offset;                     // [1]; 0 if count is 0
};

namespace nf4 {

// The mean's sum has parts: part j adds elements j, j + mean_parts, j + 2 * mean_parts, ... in order. Then the second half of the parts is added to
// the first, part by part, and so on until one is left. So it can be formed in parallel, with the same bits anywhere.
constexpr int mean_parts = 1024;

// The number that an 8-bit code of absmax stands for: the dynamic map of bitsandbytes (Dettmers, arXiv:1511.04561), sorted. Code 127 is 0, 255 is 1,
// and those between them come in seven runs, run e of 2^e numbers: the middles of as many equal parts of [0.1, 1], times 10^(e - 6). Codes
// 0..126 are their negatives. Rounded as torch.linspace rounds where it has fused multiply-add, whose one rounding double precision gives here.
TORCHAO_OPS_CONSTEXPR float absmax_value(int code) {
  if (code < 127) return -absmax_value(254 - code);
  if (code == 127 || code == 255) return code == 127 ? 0.0f : 1.0f;
  int run = 0, parts = 1;
  for (; code - 127 >= 2 * parts; ++run) parts *= 2;
  const int part = code - 127 - parts;
  const double step = (1.0f - 0.1f) / static_cast<float>(parts);
  float bounds[2] = {};
  for (int i = 0; i < 2; ++i) {
    const int at = part + i;
    bounds[i] = static_cast<float>(at <= parts / 2 ? double{0.1f} + step * at : 1.0 - step * (parts - at));
  }
  const float powers[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  return powers[run] * ((bounds[0] + bounds[1]) / 2.0f);
}
static_assert(absmax_value(0) == -absmax_value(254) && absmax_value(128) == 0.55f * 1e-6f, "symmetric but for 1");

}  // namespace nf4

void nf4_quantize_absmax_ref(const Nf4QuantizeAbsmaxArgs& args);

}  // namespace torchao_ops
