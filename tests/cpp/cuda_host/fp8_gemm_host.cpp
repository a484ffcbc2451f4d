// fp8_gemm of csrc/cuda/gemm.h for kernels that run on the host. Apart from gemm_host.cpp, so that a test may have a gemm of its own and this one.
#include "tests/cpp/cuda_host/fp8_gemm_host.h"

#include <vector>

#include "csrc/cuda/gemm.h"

namespace cuda_host {
namespace {

bool refuses_fp8_gemm = false;

}  // namespace

void refuse_fp8_gemm(bool refuses) { refuses_fp8_gemm = refuses; }

}  // namespace cuda_host

namespace torchao_ops::cuda {
namespace {

double value(const Fp8GemmOperand& operand, int64_t rows, int64_t K, int64_t row, int64_t k) {
  const double number = load_float8(operand.codes, operand.type, row * operand.row_stride + k);
  switch (operand.scaling) {
    case Fp8GemmScaling::none: break;
    case Fp8GemmScaling::group: return number * operand.scale[k / 128 * rows + row];
    case Fp8GemmScaling::block: return number * operand.scale[row / 128 * fp8_gemm_block_stride(K) + k / 128];
  }
  return number;
}

}  // namespace

bool supports_fp8_gemm(const Fp8GemmArgs& args, const Context& context) {
  return !cuda_host::refuses_fp8_gemm && fp8_gemm_takes(args, context.device);
}

Status fp8_gemm(const Fp8GemmArgs& args, const Context& context) {
  if (!supports_fp8_gemm(args, context))
    return set_last_error(Status::cublaslt_failed, "fp8_gemm", "cuBLASLt does not take these");
  std::vector<double> w(static_cast<size_t>(args.N * args.K)), x(static_cast<size_t>(args.K));
  for (int64_t n = 0; n < args.N; ++n)
    for (int64_t k = 0; k < args.K; ++k) w[static_cast<size_t>(n * args.K + k)] = value(args.w, args.N, args.K, n, k);
  for (int64_t m = 0; m < args.M; ++m) {
    for (int64_t k = 0; k < args.K; ++k) x[static_cast<size_t>(k)] = value(args.x, args.M, args.K, m, k);
    for (int64_t n = 0; n < args.N; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < args.K; ++k) sum += x[static_cast<size_t>(k)] * w[static_cast<size_t>(n * args.K + k)];
      args.y[m * args.N + n] = static_cast<float>(sum);
    }
  }
  return Status::ok;
}

}  // namespace torchao_ops::cuda
