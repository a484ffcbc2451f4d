#include <cmath>
#include <vector>

#include "csrc/spec/int4_mm.h"

namespace torchao_ops {
namespace {

double weight_at(const int4::Weight& w, int64_t n, int64_t k) {
  const int64_t group = k / w.group_size;
  return (double{static_cast<double>(w.code(n, k))} - w.zero_point_at(n, group)) * double{w.scale_at(n, group)};
}

void multiply(const Int4MmArgs& args, const std::vector<double>& x, double* y) {
  const int64_t N = args.weight.N, K = args.weight.K;
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t m = 0; m < args.mm.M; ++m) {
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += x[m * K + k] * weight_at(args.weight, n, k);
      if (args.mm.bias != nullptr) sum += load_float(args.mm.bias, args.mm.bias_type, n);
      y[m * N + n] = sum;
    }
  }
}

std::vector<double> activations(const Int4MmArgs& args) {
  const int64_t K = args.weight.K;
  std::vector<double> x(static_cast<size_t>(args.mm.M * K));
  for (int64_t m = 0; m < args.mm.M; ++m)
    for (int64_t k = 0; k < K; ++k) x[m * K + k] = load_float(args.mm.x, args.mm.x_type, m * args.mm.x_row_stride + k);
  return x;
}

}  // namespace

void int4_mm_ref(const Int4MmArgs& args, double* y) { multiply(args, activations(args), y); }

void int4_dynamic_mm_ref(const Int4MmArgs& args, double* y) {
  const int64_t K = args.weight.K;
  std::vector<double> x = activations(args);
  for (int64_t m = 0; m < args.mm.M; ++m) {
    float max_magnitude = 0;
    bool finite = true;
    for (int64_t k = 0; k < K; ++k) {
      const float value = static_cast<float>(x[m * K + k]);
      finite = finite && is_finite(value);
      max_magnitude = std::fmax(max_magnitude, std::fabs(value));
    }
    const float scale = max_magnitude / 127.0f;
    if (!finite || scale == 0.0f) continue;
    for (int64_t k = 0; k < K; ++k) {
      const float q = std::nearbyint(static_cast<float>(x[m * K + k]) / scale);
      x[m * K + k] = double{std::fmin(std::fmax(q, -127.0f), 127.0f)} * scale;
    }
  }
  multiply(args, x, y);
}

}  // namespace torchao_ops
