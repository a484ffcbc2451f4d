// csrc/cuda/gemm.h for kernels that run on the host: obvious loops. Sums are double, so that what a test finds is not the product's error.
#include "csrc/cuda/gemm.h"

#include <vector>

namespace torchao_ops::cuda {

bool gemm_is_available() { return true; }

Status gemm(const GemmArgs& args, const Context&) {
  std::vector<double> x(static_cast<size_t>(args.K)), w(static_cast<size_t>(args.N * args.K));
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t k = 0; k < args.K; ++k) {
      const int64_t i = args.w_is_transposed ? k * args.w_row_stride + n : n * args.w_row_stride + k;
      w[static_cast<size_t>(n * args.K + k)] = load_float(args.w, args.type, i);
    }
  }
  for (int64_t m = 0; m < args.M; ++m) {
    for (int64_t k = 0; k < args.K; ++k) x[static_cast<size_t>(k)] = load_float(args.x, args.type, m * args.x_row_stride + k);
    for (int64_t n = 0; n < args.N; ++n) {
      double sum = args.bias == nullptr ? 0 : load_float(args.bias, args.type, n);
      for (int64_t k = 0; k < args.K; ++k) sum += x[static_cast<size_t>(k)] * w[static_cast<size_t>(n * args.K + k)];
      store_float(static_cast<float>(sum), args.y, args.y_is_f32 ? FloatType::f32 : args.type, m * args.y_row_stride + n);
    }
  }
  return Status::ok;
}

}  // namespace torchao_ops::cuda
