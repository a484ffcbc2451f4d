#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/spec/int4_quantize.h"

namespace torchao_ops {

void int4_quantize_ref(const Int4QuantizeArgs& args) {
  const int64_t K = args.K, G = group_count(K, args.group_size);
  std::fill_n(args.packed, args.N * int4::packed_columns(K), uint8_t{0});
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t g = 0; g < G; ++g) {
      const int64_t begin = g * args.group_size;
      const int64_t end = std::min(K - begin, args.group_size) + begin;
      auto weight = [&](int64_t k) { return load_float(args.weight, args.type, n * args.weight_row_stride + k); };
      float lo = 0, hi = 0;
      bool finite = true;
      for (int64_t k = begin; k < end; ++k) {
        finite = finite && is_finite(weight(k));
        lo = std::min(lo, weight(k));
        hi = std::max(hi, weight(k));
      }
      float scale = round_to(args.type, args.symmetric ? std::max(hi, -lo) / 7.0f : (hi - lo) / 15.0f);
      if (!finite || !is_finite(scale)) scale = std::numeric_limits<float>::quiet_NaN();
      const bool usable = is_finite(scale) && scale != 0;
      float zero_point = int4::symmetric_zero_point;
      if (!args.symmetric) zero_point = usable ? std::clamp(std::nearbyint((0.0f - lo) / scale), 0.0f, 15.0f) : 0.0f;
      store_float(scale, args.scale, args.type, n * G + g);
      store_float(zero_point, args.zero_point, args.type, n * G + g);
      for (int64_t k = begin; k < end; ++k) {
        const float code = usable ? std::clamp(std::nearbyint(weight(k) / scale) + zero_point, 0.0f, 15.0f) : zero_point;
        args.packed[n * int4::packed_columns(K) + k / 2] |= static_cast<uint8_t>(code) << (k % 2 * 4);
      }
    }
  }
}

}  // namespace torchao_ops
