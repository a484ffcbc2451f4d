// int4_quantize: the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"

namespace torchao_ops {

// All arithmetic is fp32. The group's scale is rounded to the scale's type (the weight's) first; the codes are computed with the rounded scale, by division,
// round half to even:
//   asymmetric: lo = min(w, 0), hi = max(w, 0), scale = (hi - lo) / 15, zero_point = clamp(round(-lo / scale), 0, 15)
//   symmetric:  scale = max|w| / 7, zero_point = 8
//   code = clamp(round(w / scale) + zero_point, 0, 15)
// A group whose scale rounds to 0 (all zeros, or too small for the type) has scale 0 and codes that mean zero. A group with a NaN or
// an Inf, or whose hi - lo overflows, has a NaN scale, so that it dequantizes to NaN: no plausible numbers come from a broken weight.
struct Int4QuantizeArgs {
  const void* weight;         // [N, K]
  FloatType type;             // of weight, scale and zero_point
  int64_t weight_row_stride;  // elements
  int64_t N, K, group_size;
  bool symmetric;
  uint8_t* packed;   // [N, ceil(K / 2)] adjacent; the unused high nibble of an odd K is 0
  void* scale;       // [N, G] adjacent
  void* zero_point;  // [N, G] adjacent
};

void int4_quantize_ref(const Int4QuantizeArgs& args);

}  // namespace torchao_ops
