// int8_gemm of csrc/cuda/gemm.h for kernels that run on the host. Apart from gemm_host.cpp, so that a test may have a gemm of its own and this one.
#include "csrc/cuda/gemm.h"

namespace torchao_ops::cuda {

Status int8_gemm(const Int8GemmArgs& args, const Context&) {
  for (int64_t m = 0; m < args.M; ++m) {
    for (int64_t n = 0; n < args.N; ++n) {
      int32_t sum = 0;
      for (int64_t k = 0; k < args.K; ++k) sum += int32_t{args.x[m * args.x_row_stride + k]} * args.w[n * args.w_row_stride + k];
      args.y[m * args.N + n] = sum;
    }
  }
  return Status::ok;
}

}  // namespace torchao_ops::cuda
