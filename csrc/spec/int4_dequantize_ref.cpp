#include "csrc/spec/int4_dequantize.h"

namespace torchao_ops {

void int4_dequantize_ref(const Int4DequantizeArgs& args) {
  const int4::Weight& w = args.weight;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      const float difference = static_cast<float>(w.code(n, k)) - w.zero_point_at(n, k / w.group_size);
      store_float(difference * w.scale_at(n, k / w.group_size), args.out, args.out_type, n * w.K + k);
    }
  }
}

}  // namespace torchao_ops
