#include "csrc/spec/sparse24_decompress.h"

#include <cstring>

namespace torchao_ops {

void sparse24_decompress_ref(const Sparse24DecompressArgs& args) {
  const sparse24::Weight& w = args.weight;
  const int64_t bytes = size_of(w.value_type);
  std::memset(args.out, 0, static_cast<size_t>(w.N * w.K * bytes));
  *args.violation = -1;
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t quad = 0; quad < sparse24::quads(w.K); ++quad) {
      const int bits = w.bits(n, quad);
      if (sparse24::keeps_too_many(bits)) {
        *args.violation = n * sparse24::quads(w.K) + quad;
        return;
      }
      for (int i = 0; i < 4; ++i) {
        if ((bits >> i & 1) == 0) continue;
        std::memcpy(static_cast<char*>(args.out) + (n * w.K + 4 * quad + i) * bytes,
                    static_cast<const char*>(w.values) + (n * w.value_row_stride + 2 * quad + sparse24::slot_of(bits, i)) * bytes,
                    static_cast<size_t>(bytes));
      }
    }
  }
}

}  // namespace torchao_ops
