#include "csrc/cuda/nf4_dequantize.h"

#include "csrc/cuda/dequantize.cuh"
#include "csrc/cuda/nf4_codes.cuh"

namespace torchao_ops::cuda {

Status nf4_dequantize(const Nf4DequantizeArgs& args, const Context& context) {
  return nf4_dequantize_part(args, {0, args.weight.N, 0, args.weight.K}, context);
}

Status nf4_dequantize_part(const Nf4DequantizeArgs& args, const MatrixPart& part, const Context& context) {
  nf4::Weight w = args.weight;
  if (part.columns != w.K) return run_dequantize<Nf4>(w, part, args.out, args.out_type, context);
  // Whole rows are one long row: octets lie in one block and are aligned whatever K is.
  const MatrixPart row{0, 1, part.n * w.K, part.rows * w.K};
  w.K *= w.N;
  w.N = 1;
  return run_dequantize<Nf4>(w, row, args.out, args.out_type, context);
}

}  // namespace torchao_ops::cuda
