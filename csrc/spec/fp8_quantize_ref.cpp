#include "csrc/spec/fp8_quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace torchao_ops {

void fp8_quantize_ref(const Fp8QuantizeArgs& args) {
  const int64_t N = args.N, K = args.K, G = group_count(K, args.group_size);
  const float largest = largest_of(args.code_type);
  auto input = [&](int64_t n, int64_t k) { return load_float(args.input, args.type, n * args.input_row_stride + k); };
  for (int64_t block = 0; block < ceil_div(N, args.row_block); ++block) {
    for (int64_t g = 0; g < G; ++g) {
      const int64_t n_begin = block * args.row_block, k_begin = g * args.group_size;
      const int64_t n_end = std::min(N - n_begin, args.row_block) + n_begin;
      const int64_t k_end = std::min(K - k_begin, args.group_size) + k_begin;
      float max_magnitude = 0;
      bool finite = true;
      for (int64_t n = n_begin; n < n_end; ++n) {
        for (int64_t k = k_begin; k < k_end; ++k) {
          finite = finite && is_finite(input(n, k));
          max_magnitude = std::max(max_magnitude, std::fabs(input(n, k)));
        }
      }
      const float scale = finite ? round_to(args.type, max_magnitude / largest) : std::numeric_limits<float>::quiet_NaN();
      store_float(scale, args.scale, args.type, block * G + g);
      for (int64_t n = n_begin; n < n_end; ++n) {
        for (int64_t k = k_begin; k < k_end; ++k) {
          const float scaled = finite && scale != 0 ? input(n, k) / scale : 0.0f;
          store_float8(scaled, args.codes, args.code_type, n * K + k);
        }
      }
    }
  }
}

}  // namespace torchao_ops
