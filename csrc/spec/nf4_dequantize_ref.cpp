#include "csrc/spec/nf4_dequantize.h"

namespace torchao_ops {

void nf4_dequantize_ref(const Nf4DequantizeArgs& args) {
  const nf4::Weight& w = args.weight;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      const int64_t i = n * w.K + k;
      store_float(nf4::value_of(w.code(n, k)) * w.absmax_at(i / w.group_size), args.out, args.out_type, i);
    }
  }
}

}  // namespace torchao_ops
