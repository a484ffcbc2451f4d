#include "csrc/cuda/int4_dequantize.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/int4_codes.cuh"

namespace torchao_ops::cuda {

Status int4_dequantize(const Int4DequantizeArgs& args, const Context& context) {
  return run_dequantize<Int4>(args.weight, {0, args.weight.N, 0, args.weight.K}, args.out, args.out_type, context);
}

}  // namespace torchao_ops::cuda
