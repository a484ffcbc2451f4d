#include "csrc/spec/sparse24_prune.h"

#include <algorithm>
#include <cmath>

namespace torchao_ops {
namespace {

// Whether the magnitude of a is larger: Inf is larger than numbers, NaN than Inf.
bool is_larger(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  return std::fabs(a) > std::fabs(b);
}

}  // namespace

void sparse24_prune_ref(const Sparse24PruneArgs& args) {
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t k = 0; k < args.K; ++k) {
      const int64_t begin = k / 4 * 4, end = std::min(begin + 4, args.K);
      auto weight = [&](int64_t i) { return sparse24::load_value(args.weight, args.type, n * args.weight_row_stride + i); };
      int before = 0;  // how many elements of the quad are kept rather than k
      for (int64_t i = begin; i < end; ++i) {
        if (is_larger(weight(i), weight(k)) || (i < k && !is_larger(weight(k), weight(i)))) ++before;
      }
      args.mask[n * args.K + k] = before < 2 ? 1 : 0;
    }
  }
}

}  // namespace torchao_ops
