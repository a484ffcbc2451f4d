#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/fp8_dynamic_mm.h"

#include <cmath>

namespace torchao_ops {
namespace {

template <Float8Type type>
void round_row(const MmArgs& mm, int64_t K, int64_t m, float* out) {
  float max_magnitude = 0;
  bool finite = true;
  for (int64_t k = 0; k < K; ++k) {
    out[k] = load_float(mm.x, mm.x_type, m * mm.x_row_stride + k);
    finite = finite && is_finite(out[k]);
    max_magnitude = std::fmax(max_magnitude, std::fabs(out[k]));
  }
  const float scale = max_magnitude / largest_of(type);
  if (!finite || scale == 0.0f) return;
  for (int64_t k = 0; k < K; ++k) {
    uint8_t code;
    store_float8(out[k] / scale, &code, type, 0);
    out[k] = load_float8(&code, type, 0) * scale;
  }
}

}  // namespace

Status fp8_dynamic_mm_scalar(const Fp8MmArgs& args, const Parallel& parallel) {
  const RoundRow round = args.weight.type == Float8Type::e4m3fn ? round_row<Float8Type::e4m3fn> : round_row<Float8Type::e5m2>;
  return dynamic_product(args, round, fp8_mm_scalar, store_row, parallel);
}

}  // namespace torchao_ops
