#include "csrc/cpu/fp8_dequantize.h"

namespace torchao_ops {

Status fp8_dequantize_scalar(const Fp8DequantizeArgs& args, const Parallel& parallel) {
  const fp8::Weight& w = args.weight;
  for_each_piece(parallel, w.N, [&](int64_t n, int64_t) {
    for (int64_t k = 0; k < w.K; ++k) {
      store_float(w.number(n, k) * w.scale_at(n, k / w.group_size), args.out, args.out_type, n * w.K + k);
    }
  });
  return Status::ok;
}

}  // namespace torchao_ops
