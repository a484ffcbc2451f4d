#include "csrc/spec/fp8_scaled_mm.h"

namespace torchao_ops {

void fp8_scaled_mm_ref(const Fp8ScaledMmArgs& args, double* y) {
  const fp8::Weight &a = args.a, &b = args.b;
  auto value = [](const fp8::Weight& w, int64_t n, int64_t k) {
    return double{w.number(n, k)} * double{w.scale_at(n, k / w.group_size)};
  };
  for (int64_t m = 0; m < a.N; ++m) {
    for (int64_t n = 0; n < b.N; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < b.K; ++k) sum += value(a, m, k) * value(b, n, k);
      if (args.bias != nullptr) sum += load_float(args.bias, args.bias_type, n);
      y[m * b.N + n] = sum;
    }
  }
}

}  // namespace torchao_ops
