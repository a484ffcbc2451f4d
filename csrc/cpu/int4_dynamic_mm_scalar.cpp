#include <cmath>

#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/scratch.h"

namespace torchao_ops {
namespace {

// Quantizes row m of x into q[K]. Returns its scale: 0 for a row of zeros, NaN for a row that must not be quantized.
float quantize_row(const MmArgs& mm, int64_t K, int64_t m, int8_t* q) {
  float max_magnitude = 0;
  bool finite = true;
  for (int64_t k = 0; k < K; ++k) {
    const float value = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    finite = finite && is_finite(value);
    max_magnitude = std::fmax(max_magnitude, std::fabs(value));
  }
  const float scale = max_magnitude / 127.0f;
  if (!finite || (scale == 0.0f && max_magnitude != 0.0f)) return float_from_bits(0x7fc00000u);
  for (int64_t k = 0; k < K; ++k) {
    const float value = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    const float rounded = scale == 0.0f ? 0.0f : std::nearbyint(value / scale);
    q[k] = static_cast<int8_t>(std::fmin(std::fmax(rounded, -127.0f), 127.0f));
  }
  return scale;
}

}  // namespace

Status int4_dynamic_mm_scalar(const Int4MmArgs& args, const Parallel& parallel) {
  const MmArgs& mm = args.mm;
  const int4::Weight& w = args.weight;
  Scratch<int8_t> q(mm.M * w.K);
  Scratch<float> x_scale(mm.M);
  if (!all_allocated(q, x_scale)) return Status::out_of_memory;
  for_each_piece(parallel, mm.M, [&](int64_t m, int64_t) { x_scale.get()[m] = quantize_row(mm, w.K, m, q.get() + m * w.K); });

  const int64_t G = group_count(w.K, w.group_size);
  for_each_piece(parallel, w.N, [&](int64_t n, int64_t) {
    const float bias = mm.bias == nullptr ? 0.0f : load_float(mm.bias, mm.bias_type, n);
    bool finite = true;
    for (int64_t g = 0; g < G; ++g) finite = finite && is_finite(w.scale_at(n, g)) && is_finite(w.zero_point_at(n, g));
    for (int64_t m = 0; m < mm.M; ++m) {
      if (!finite || !is_finite(x_scale.get()[m])) {
        int4_mm_scalar_row(args, m, n, n + 1);
        continue;
      }
      const int8_t* row = q.get() + m * w.K;
      float sum = 0;
      for (int64_t g = 0; g < G; ++g) {
        const int64_t begin = g * w.group_size;
        const int64_t end = w.K - begin < w.group_size ? w.K : begin + w.group_size;
        int64_t dot = 0, q_sum = 0;
        for (int64_t k = begin; k < end; ++k) {
          dot += int64_t{row[k]} * w.code(n, k);
          q_sum += row[k];
        }
        sum += w.scale_at(n, g) * (static_cast<float>(dot) - w.zero_point_at(n, g) * static_cast<float>(q_sum));
      }
      store_float(sum * x_scale.get()[m] + bias, mm.y, mm.x_type, m * w.N + n);
    }
  });
  return Status::ok;
}

}  // namespace torchao_ops
