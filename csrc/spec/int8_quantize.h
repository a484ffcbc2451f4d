// int8_quantize: the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"

namespace torchao_ops {

// All arithmetic is fp32. The group's scale, max|w| / 127, is rounded to the scale's type (the weight's) first; the codes are computed with the
// rounded scale, by division: code = clamp(round_half_even(w / scale), -127, 127).
// A group whose scale rounds to 0 (all zeros, or too small for the type) has scale 0 and codes 0. A group with a NaN or an Inf has a NaN scale and
// codes 0, so that it dequantizes to NaN: no plausible numbers come from a broken weight.
struct Int8QuantizeArgs {
  const void* weight;         // [N, K]
  FloatType type;             // of weight and scale
  int64_t weight_row_stride;  // elements
  int64_t N, K, group_size;   // group_size >= 1
  int8_t* codes;              // [N, K] adjacent
  void* scale;                // [N, G] adjacent
};

void int8_quantize_ref(const Int8QuantizeArgs& args);

}  // namespace torchao_ops
