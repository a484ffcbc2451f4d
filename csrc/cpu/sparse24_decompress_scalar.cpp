#include "csrc/cpu/sparse24_decompress_impl.h"

namespace torchao_ops {
namespace {

struct ScalarExpand {
  static constexpr int64_t columns = 8;
  template <class T>
  TORCHAO_OPS_INLINE static void run(const T* values, const uint8_t* bitmask, T* out) {
    for (int quad = 0; quad < 2; ++quad) {
      const int bits = *bitmask >> 4 * quad & 15;
      for (int i = 0, slot = 0; i < 4; ++i) {
        const int bit = bits >> i & 1;
        out[4 * quad + i] = static_cast<T>(values[2 * quad + (slot & 1)] * static_cast<T>(bit));
        slot += bit;
      }
    }
  }
};

}  // namespace

Status sparse24_decompress_scalar(const Sparse24DecompressArgs& args, const Parallel& parallel) {
  return decompress<ScalarExpand>(args, parallel);
}

}  // namespace torchao_ops
