#include "csrc/cpu/mm_scalar.h"
#include "csrc/cpu/sparse24_dynamic_mm.h"
#include "csrc/cpu/sparse24_mm.h"
#include "csrc/cpu/sparse24_violation.h"

namespace torchao_ops {
namespace {

// Quantizes row m of x into q[K], still as fp32. Returns its scale: 0 for a row of zeros, NaN for a row that must not be quantized.
float quantize_row_e4m3fn(const MmArgs& mm, int64_t K, int64_t m, float* q) {
  float max_magnitude = 0;
  bool finite = true;
  for (int64_t k = 0; k < K; ++k) {
    q[k] = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    finite = finite && is_finite(q[k]);
    max_magnitude = std::fmax(max_magnitude, std::fabs(q[k]));
  }
  const float scale = max_magnitude / Float8E4m3fn::largest;
  if (!finite || (scale == 0.0f && max_magnitude != 0.0f)) return float_from_bits(0x7fc00000u);
  for (int64_t k = 0; k < K; ++k) {
    Float8E4m3fn rounded;
    from_float(scale == 0.0f ? 0.0f : q[k] / scale, &rounded);
    q[k] = to_float(rounded);
  }
  return scale;
}

float quantize_row_int8(const MmArgs& mm, int64_t K, int64_t m, int8_t* q) { return scalar_quantize_row(mm, K, m, q); }

float dot(const int8_t* q, const float* w, int64_t K) {
  int64_t sum = 0;
  for (int64_t k = 0; k < K; ++k) sum += int64_t{q[k]} * static_cast<int64_t>(w[k]);
  return static_cast<float>(sum);
}

float dot(const float* q, const float* w, int64_t K) {
  float sum = 0;
  for (int64_t begin = 0; begin < K; begin += scalar_block_k) {
    const int64_t end = K - begin < scalar_block_k ? K : begin + scalar_block_k;
    float s[8] = {};  // as scalar_column sums
    for (int64_t k = begin; k < end; ++k) s[k % 8] += q[k] * w[k];
    sum += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  }
  return sum;
}

template <class Quantized>
Status quantize_and_multiply(const Sparse24MmArgs& args, const Parallel& parallel,
                             float (*quantize)(const MmArgs&, int64_t, int64_t, Quantized*)) {
  const MmArgs& mm = args.mm;
  const sparse24::Weight& w = args.weight;
  const int64_t threads = parallel.threads < 1 ? 1 : parallel.threads;
  Scratch<Quantized> q(mm.M * w.K);
  Scratch<float> x_scale(mm.M), rows(threads * w.K);
  if (!all_allocated(q, x_scale, rows)) return Status::out_of_memory;
  find_violation(args, parallel);
  for_each_piece(parallel, mm.M, [&](int64_t m, int64_t) { x_scale.get()[m] = quantize(mm, w.K, m, q.get() + m * w.K); });

  for_each_piece(parallel, w.N, [&](int64_t n, int64_t worker) {
    float* row = rows.get() + worker * w.K;
    const float bias = mm.bias == nullptr ? 0.0f : load_float(mm.bias, mm.bias_type, n), scale = w.scale_at(n, 0);
    const bool usable = is_finite(scale) && first_violation(w.bitmask_row(n), w.K) < 0;
    if (usable) {
      for (int64_t k = 0; k < w.K; ++k) row[k] = w.number(n, k);
    }
    for (int64_t m = 0; m < mm.M; ++m) {
      if (!usable || !is_finite(x_scale.get()[m])) {
        scalar_row(args, m, n, n + 1);
      } else {
        const float scaled = dot(q.get() + m * w.K, row, w.K) * scale;
        store_float(scaled * x_scale.get()[m] + bias, mm.y, mm.x_type, m * w.N + n);
      }
    }
  });
  return Status::ok;
}

}  // namespace

Status sparse24_dynamic_mm_scalar(const Sparse24MmArgs& args, const Parallel& parallel) {
  return args.weight.value_type == sparse24::ValueType::int8 ? quantize_and_multiply(args, parallel, quantize_row_int8)
                                                             : quantize_and_multiply(args, parallel, quantize_row_e4m3fn);
}

}  // namespace torchao_ops
