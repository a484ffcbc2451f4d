// csrc/cuda/cusparselt.h for kernels that run on the host: the layout is the dense weight with each byte inverted, so that nobody takes it for one, and the
// product is obvious loops. Sums are double, so that what a test finds is not the product's error. What the library would refuse ends the test.
#include "csrc/cuda/cusparselt.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace torchao_ops::cuda {
namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "cuSPARSELt would refuse: %s\n", what);
  std::abort();
}
bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % cusparselt_alignment == 0; }
void require_weight(FloatType type, int64_t N, int64_t K) {
  require(type != FloatType::f32, "fp32");
  require(N > 0 && K > 0 && N % cusparselt_weight_multiple == 0 && K % cusparselt_weight_multiple == 0, "sizes of the weight");
}
constexpr int64_t scratch_bytes = 64;

}  // namespace

bool cusparselt_is_available() { return true; }

Status cusparselt_sizes(FloatType type, int64_t N, int64_t K, const Context&, CusparseLtSizes* sizes) {
  require_weight(type, N, K);
  *sizes = {N * K * size_of(type), scratch_bytes};
  return Status::ok;
}

Status cusparselt_compress(const CusparseLtCompressArgs& args, const Context&) {
  require_weight(args.type, args.N, args.K);
  require(is_aligned(args.weight) && is_aligned(args.packed) && is_aligned(args.scratch), "alignment");
  for (int64_t i = 0; i < args.N * args.K; ++i) {
    int kept = 0;
    for (int64_t j = i / 4 * 4; j < i / 4 * 4 + 4; ++j) kept += load_float(args.weight, args.type, j) != 0 ? 1 : 0;
    require(kept <= 2, "a quad that keeps more than two");
    static_cast<uint16_t*>(args.packed)[i] = static_cast<uint16_t>(~static_cast<const uint16_t*>(args.weight)[i]);
  }
  for (int64_t i = 0; i < scratch_bytes; ++i) static_cast<uint8_t*>(args.scratch)[i] = 1;
  return Status::ok;
}

Status cusparselt_matmul(const CusparseLtMatmulArgs& args, const Context&) {
  require_weight(args.type, args.N, args.K);
  require(args.M > 0 && args.M % cusparselt_rows_multiple == 0, "rows of x");
  require(is_aligned(args.x) && is_aligned(args.packed) && is_aligned(args.y) && is_aligned(args.workspace), "alignment");
  for (int64_t i = 0; i < args.M * args.N; ++i) store_float(7, args.y, args.type, i);  // what the search for an algorithm leaves
  if (args.fill_y && args.fill_y() != Status::ok) return Status::cuda_failed;
  const uint16_t* packed = static_cast<const uint16_t*>(args.packed);
  for (int64_t n = 0; n < args.N; ++n) {
    std::vector<double> w(static_cast<size_t>(args.K));
    for (int64_t k = 0; k < args.K; ++k) {
      const auto bits = static_cast<uint16_t>(~packed[n * args.K + k]);
      w[static_cast<size_t>(k)] = load_float(&bits, args.type, 0);
    }
    for (int64_t m = 0; m < args.M; ++m) {
      double sum = 0;
      for (int64_t k = 0; k < args.K; ++k) sum += w[static_cast<size_t>(k)] * load_float(args.x, args.type, m * args.K + k);
      if (args.scale != nullptr) sum *= args.scale[n];
      if (args.fill_y) sum += load_float(args.y, args.type, m * args.N + n);
      store_float(static_cast<float>(sum), args.y, args.type, m * args.N + n);
    }
  }
  return Status::ok;
}

}  // namespace torchao_ops::cuda
