#include "csrc/cpu/nf4_dequantize.h"

namespace torchao_ops {

Status nf4_dequantize_scalar(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  const nf4::Weight& w = args.weight;
  const int64_t count = w.N * w.K;
  for_each_piece(parallel, ceil_div(count, w.group_size), [&](int64_t block, int64_t) {
    const float absmax = w.absmax_at(block);
    const int64_t begin = block * w.group_size, end = count - begin < w.group_size ? count : begin + w.group_size;
    for (int64_t i = begin; i < end; ++i) {
      store_float(nf4::value_of(nf4::code_of(w.packed[i / 2], i)) * absmax, args.out, args.out_type, i);
    }
  });
  return Status::ok;
}

}  // namespace torchao_ops
