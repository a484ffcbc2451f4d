#include "csrc/cuda/fp8_dequantize.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/fp8_codes.cuh"

namespace torchao_ops::cuda {

Status fp8_dequantize(const Fp8DequantizeArgs& args, const Context& context) {
  return fp8_dequantize_part(args, {0, args.weight.N, 0, args.weight.K}, context);
}

Status fp8_dequantize_part(const Fp8DequantizeArgs& args, const MatrixPart& part, const Context& context) {
  return with_fp8_format(args.weight.type, [&](auto format) {
    return run_dequantize<decltype(format)>(args.weight, part, args.out, args.out_type, context);
  });
}

}  // namespace torchao_ops::cuda
