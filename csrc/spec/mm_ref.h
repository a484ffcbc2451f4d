// What the references of every format's products share. Only they include it.
#pragma once

#include <cmath>
#include <vector>

#include "csrc/spec/mm.h"

namespace torchao_ops {
namespace {

// x as doubles [M, K].
std::vector<double> activations(const MmArgs& mm, int64_t K) {
  std::vector<double> x(static_cast<size_t>(mm.M * K));
  for (int64_t m = 0; m < mm.M; ++m)
    for (int64_t k = 0; k < K; ++k) x[m * K + k] = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
  return x;
}

// The same after dynamic quantization: q * scale, scale = max|x| / largest and q = round(x / scale).
template <class Round>
std::vector<double> quantized_activations(const MmArgs& mm, int64_t K, float largest, const Round& round) {
  std::vector<double> x = activations(mm, K);
  for (int64_t m = 0; m < mm.M; ++m) {
    float max_magnitude = 0;
    bool finite = true;
    for (int64_t k = 0; k < K; ++k) {
      const float value = static_cast<float>(x[m * K + k]);
      finite = finite && is_finite(value);
      max_magnitude = std::fmax(max_magnitude, std::fabs(value));
    }
    const float scale = max_magnitude / largest;
    if (!finite || scale == 0.0f) continue;
    for (int64_t k = 0; k < K; ++k) x[m * K + k] = double{round(static_cast<float>(x[m * K + k]) / scale)} * scale;
  }
  return x;
}

// To int8.
[[maybe_unused]] std::vector<double> quantized_activations(const MmArgs& mm, int64_t K) {
  return quantized_activations(mm, K, 127.0f,
                               [](float value) { return std::fmin(std::fmax(std::nearbyint(value), -127.0f), 127.0f); });
}

template <class Weight>
double weight_at(const Weight& w, int64_t n, int64_t k) {
  const int64_t group = w.group_position(n, k) / w.group_size;
  return (double{w.number(n, k)} - w.zero_point_at(n, group)) * double{w.scale_at(n, group)};
}

template <class Weight>
void multiply(const MmArgs& mm, const Weight& w, const std::vector<double>& x, double* y) {
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t m = 0; m < mm.M; ++m) {
      double sum = 0;
      for (int64_t k = 0; k < w.K; ++k) sum += x[m * w.K + k] * weight_at(w, n, k);
      if (mm.bias != nullptr) sum += load_float(mm.bias, mm.bias_type, n);
      y[m * w.N + n] = sum;
    }
  }
}

}  // namespace
}  // namespace torchao_ops
