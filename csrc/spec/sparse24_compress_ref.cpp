#include "csrc/spec/sparse24_compress.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "csrc/spec/sparse24_prune.h"

namespace torchao_ops {

void sparse24_compress_ref(const Sparse24CompressArgs& args) {
  const int64_t K = args.K, bytes = size_of(args.type);
  std::vector<uint8_t> largest(static_cast<size_t>(args.N * K));
  sparse24_prune_ref({args.weight, args.type, args.weight_row_stride, args.N, K, largest.data()});
  std::memset(args.values, 0, static_cast<size_t>(args.N * sparse24::value_columns(K) * bytes));
  std::memset(args.bitmask, 0, static_cast<size_t>(args.N * sparse24::bitmask_columns(K)));
  *args.violation = -1;
  for (int64_t n = 0; n < args.N; ++n) {
    for (int64_t quad = 0; quad < sparse24::quads(K); ++quad) {
      const int64_t begin = 4 * quad, end = std::min(begin + 4, K);
      auto is_marked = [&](int64_t k) {
        return args.mask == nullptr ? largest[n * K + k] != 0 : args.mask[n * args.mask_row_stride + k] != 0;
      };
      auto is_zero = [&](int64_t k) {
        return sparse24::load_value(args.weight, args.type, n * args.weight_row_stride + k) == 0.0f;
      };
      int marked = 0, lost = 0;
      for (int64_t k = begin; k < end; ++k) {
        marked += is_marked(k) ? 1 : 0;
        lost += args.mask == nullptr && !is_marked(k) && !is_zero(k) ? 1 : 0;
      }
      if (marked > 2 || lost > 0) {
        *args.violation = n * sparse24::quads(K) + quad;
        return;
      }
      int added = 0, slot = 0;
      for (int64_t k = begin; k < end; ++k) {
        if (!is_marked(k) && marked + added == 2) continue;
        args.bitmask[n * sparse24::bitmask_columns(K) + k / 8] |= static_cast<uint8_t>(1 << k % 8);
        if (is_marked(k)) {
          std::memcpy(static_cast<char*>(args.values) + (n * sparse24::value_columns(K) + 2 * quad + slot) * bytes,
                      static_cast<const char*>(args.weight) + (n * args.weight_row_stride + k) * bytes,
                      static_cast<size_t>(bytes));
        } else {
          ++added;
        }
        ++slot;
      }
    }
  }
}

}  // namespace torchao_ops
