#include "csrc/spec/mm_ref.h"
#include "csrc/spec/nf4_mm.h"

namespace torchao_ops {

void nf4_mm_ref(const Nf4MmArgs& args, double* y) { multiply(args.mm, args.weight, activations(args.mm, args.weight.K), y); }

void nf4_mm_transposed_ref(const Nf4MmArgs& args, double* y) {
  const nf4::Weight& w = args.weight;
  const std::vector<double> x = activations(args.mm, w.N);
  for (int64_t m = 0; m < args.mm.M; ++m) {
    for (int64_t k = 0; k < w.K; ++k) {
      double sum = 0;
      for (int64_t n = 0; n < w.N; ++n) sum += x[m * w.N + n] * weight_at(w, n, k);
      y[m * w.K + k] = sum;
    }
  }
}

}  // namespace torchao_ops
