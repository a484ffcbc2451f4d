#include "csrc/spec/int8_quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace torchao_ops {

void int8_quantize_ref(const Int8QuantizeArgs& args) {
  const int64_t K = args.K, G = group_count(K, args.group_size);
  constexpr float largest = int8::largest_code;
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t g = 0; g < G; ++g) {
      const int64_t begin = g * args.group_size;
      const int64_t end = std::min(K - begin, args.group_size) + begin;
      auto weight = [&](int64_t k) { return load_float(args.weight, args.type, n * args.weight_row_stride + k); };
      float max_magnitude = 0;
      bool finite = true;
      for (int64_t k = begin; k < end; ++k) {
        finite = finite && is_finite(weight(k));
        max_magnitude = std::max(max_magnitude, std::fabs(weight(k)));
      }
      float scale = round_to(args.type, max_magnitude / largest);
      if (!finite) scale = std::numeric_limits<float>::quiet_NaN();
      const bool usable = finite && scale != 0;
      store_float(scale, args.scale, args.type, n * G + g);
      for (int64_t k = begin; k < end; ++k) {
        const float code = usable ? std::clamp(std::nearbyint(weight(k) / scale), -largest, largest) : 0.0f;
        args.codes[n * K + k] = static_cast<int8_t>(code);
      }
    }
  }
}

}  // namespace torchao_ops
