#include "csrc/cuda/int8_dequantize.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/int8_codes.cuh"

namespace torchao_ops::cuda {

Status int8_dequantize(const Int8DequantizeArgs& args, const Context& context) {
  return run_dequantize<Int8>(args.weight, {0, args.weight.N, 0, args.weight.K}, args.out, args.out_type, context);
}

}  // namespace torchao_ops::cuda
