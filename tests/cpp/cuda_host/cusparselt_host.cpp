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
using sparse24::ValueType;

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % cusparselt_alignment == 0; }
void require_weight(ValueType type, int64_t N, int64_t K) {
  require(type != ValueType::f32, "fp32");
  const int64_t multiple = sparse24::size_of(type) == 1 ? 32 : 16;
  require(N > 0 && K > 0 && N % multiple == 0 && K % multiple == 0, "sizes of the weight");
}
constexpr int64_t scratch_bytes = 64;

// Element i of y.
void store(double value, void* y, ValueType type, int64_t i) {
  if (type == ValueType::int8) {
    static_cast<int32_t*>(y)[i] = static_cast<int32_t>(value);
  } else {
    const FloatType float_type = type == ValueType::f16    ? FloatType::f16
                                 : type == ValueType::bf16 ? FloatType::bf16
                                                           : FloatType::f32;
    store_float(static_cast<float>(value), y, float_type, i);
  }
}
double load(const void* y, ValueType type, int64_t i) {
  return type == ValueType::int8     ? static_cast<const int32_t*>(y)[i]
         : type == ValueType::e4m3fn ? static_cast<const float*>(y)[i]
                                     : sparse24::load_value(y, type, i);
}

}  // namespace

bool cusparselt_is_available() { return true; }

Status cusparselt_sizes(ValueType type, int64_t N, int64_t K, const Context&, CusparseLtSizes* sizes) {
  require_weight(type, N, K);
  *sizes = {N * K * sparse24::size_of(type), scratch_bytes};
  return Status::ok;
}

Status cusparselt_compress(const CusparseLtCompressArgs& args, const Context&) {
  require_weight(args.type, args.N, args.K);
  require(is_aligned(args.weight) && is_aligned(args.packed) && is_aligned(args.scratch), "alignment");
  for (int64_t i = 0; i < args.N * args.K; i += 4) {
    int kept = 0;
    for (int64_t j = i; j < i + 4; ++j) kept += sparse24::load_value(args.weight, args.type, j) != 0 ? 1 : 0;
    require(kept <= 2, "a quad that keeps more than two");
  }
  for (int64_t i = 0; i < args.N * args.K * sparse24::size_of(args.type); ++i) {
    static_cast<uint8_t*>(args.packed)[i] = static_cast<uint8_t>(~static_cast<const uint8_t*>(args.weight)[i]);
  }
  for (int64_t i = 0; i < scratch_bytes; ++i) static_cast<uint8_t*>(args.scratch)[i] = 1;
  return Status::ok;
}

Status cusparselt_matmul(const CusparseLtMatmulArgs& args, const Context&) {
  require_weight(args.type, args.N, args.K);
  require(args.M > 0 && args.M % (sparse24::size_of(args.type) == 1 ? 16 : 8) == 0, "rows of x");
  require(is_aligned(args.x) && is_aligned(args.packed) && is_aligned(args.y) && is_aligned(args.workspace), "alignment");
  for (int64_t i = 0; i < args.M * args.N; ++i) store(7, args.y, args.type, i);  // what the search for an algorithm leaves
  if (args.fill_y && args.fill_y() != Status::ok) return Status::cuda_failed;
  std::vector<uint8_t> bytes(static_cast<size_t>(args.N * args.K * sparse24::size_of(args.type)));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(~static_cast<const uint8_t*>(args.packed)[i]);
  std::vector<double> x(static_cast<size_t>(args.M * args.K)), w(static_cast<size_t>(args.K));
  for (size_t i = 0; i < x.size(); ++i) x[i] = sparse24::load_value(args.x, args.type, static_cast<int64_t>(i));
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t k = 0; k < args.K; ++k)
      w[static_cast<size_t>(k)] = sparse24::load_value(bytes.data(), args.type, n * args.K + k);
    for (int64_t m = 0; m < args.M; ++m) {
      double sum = 0;
      for (int64_t k = 0; k < args.K; ++k) sum += w[static_cast<size_t>(k)] * x[static_cast<size_t>(m * args.K + k)];
      if (args.fill_y) sum += load(args.y, args.type, m * args.N + n);
      store(sum, args.y, args.type, m * args.N + n);
    }
  }
  return Status::ok;
}

}  // namespace torchao_ops::cuda
