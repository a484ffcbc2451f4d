#include "csrc/spec/int8_dequantize.h"

namespace torchao_ops {

void int8_dequantize_ref(const Int8DequantizeArgs& args) {
  const int8::Weight& w = args.weight;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      store_float(static_cast<float>(w.code(n, k)) * w.scale_at(n, k / w.group_size), args.out, args.out_type, n * w.K + k);
    }
  }
}

}  // namespace torchao_ops
