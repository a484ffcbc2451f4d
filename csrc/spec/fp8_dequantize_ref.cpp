#include "csrc/spec/fp8_dequantize.h"

namespace torchao_ops {

void fp8_dequantize_ref(const Fp8DequantizeArgs& args) {
  const fp8::Weight& w = args.weight;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      store_float(w.number(n, k) * w.scale_at(n, k / w.group_size), args.out, args.out_type, n * w.K + k);
    }
  }
}

}  // namespace torchao_ops
