#include "csrc/cpu/int4_dequantize.h"

namespace torchao_ops {

Status int4_dequantize_scalar(const Int4DequantizeArgs& args, const Parallel& parallel) {
  const int4::Weight& w = args.weight;
  for_each_piece(parallel, w.N, [&](int64_t n, int64_t) {
    for (int64_t k = 0; k < w.K; ++k) {
      const int64_t group = k / w.group_size;
      const float value = (static_cast<float>(w.code(n, k)) - w.zero_point_at(n, group)) * w.scale_at(n, group);
      store_float(value, args.out, args.out_type, n * w.K + k);
    }
  });
  return Status::ok;
}

}  // namespace torchao_ops
