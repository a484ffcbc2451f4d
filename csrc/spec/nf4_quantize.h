// nf4_quantize: the contract between csrc/ops and the kernels.
#pragma once

#include <cstdint>

#include "csrc/spec/formats.h"

namespace torchao_ops {

// The codes and absmax that bitsandbytes 0.50 makes on a CPU, byte for byte. All arithmetic is fp32:
//   absmax = max|w| of the block
//   code = the number of midpoints (value_of(i) + value_of(i + 1)) / 2 that are below w * (1 / max(absmax, smallest_absmax)): the nearest
//          code, and of two equally near ones the lower
// The last block, if it is not full, divides, w / max(absmax, smallest_absmax), and has max(absmax, smallest_absmax) as its absmax.
//
// A block with a NaN or an Inf has a NaN absmax and codes that are all 15, so that it dequantizes to NaN: no plausible numbers come from a broken
// weight. Here alone the bytes differ: for an Inf, bitsandbytes has the absmax Inf, which dequantizes to NaN and to Inf of either sign.
struct Nf4QuantizeArgs {
  const void* weight;  // [count] adjacent: the flattened weight
  FloatType type;
  int64_t count, block_size;
  uint8_t* packed;  // [ceil(count / 2)]; the unused low nibble of an odd count is nf4::zero_code
  float* absmax;    // [ceil(count / block_size)]
};

namespace nf4 {
constexpr float smallest_absmax = 1e-38f;
TORCHAO_OPS_CONSTEXPR float midpoint_above(int code) { return (value_of(code) + value_of(code + 1)) / 2.0f; }
}  // namespace nf4

void nf4_quantize_ref(const Nf4QuantizeArgs& args);

}  // namespace torchao_ops
