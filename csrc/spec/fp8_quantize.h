// fp8_quantize: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/fp8.h"

namespace torchao_ops {

// All arithmetic is fp32. A scale stands for row_block x group_size elements, a block (fp8.h). It is max|x| / largest, with the type's largest number,
// 448 or 57344, rounded to the scale's type (the input's) first; the codes are computed with the rounded scale, by division: x / scale
// rounded to the 8-bit type, half to even, saturating. So an element beyond largest * scale, which a scale that was rounded down leaves, is largest * scale.
//
// A block whose scale rounds to 0 (all zeros, or too small for the type) has scale 0 and codes 0. A block with a NaN or an Inf has a NaN scale and codes
// 0, so that it dequantizes to NaN: no plausible numbers come from a broken tensor. Scales do not overflow.
//
// fp16 scales lose bits below 2^-14, that is where max|x| is below 0.027 (e4m3fn) or 3.5 (e5m2), and round to 0 up to 2^-25: 1.3e-5 or 0.0017. fp32
// and bf16 scales have fp32's range.
struct Fp8QuantizeArgs {
  const void* input;         // [N, K]
  FloatType type;            // of input and scale
  int64_t input_row_stride;  // elements
  int64_t N, K, row_block, group_size;
  void* codes;  // [N, K] adjacent
  Float8Type code_type;
  void* scale;  // [ceil(N / row_block), ceil(K / group_size)] adjacent
};

void fp8_quantize_ref(const Fp8QuantizeArgs& args);

}  // namespace torchao_ops
