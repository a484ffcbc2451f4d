#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/spec/nf4_quantize.h"

namespace torchao_ops {

void nf4_quantize_ref(const Nf4QuantizeArgs& args) {
  std::fill_n(args.packed, nf4::packed_bytes(args.count), uint8_t{0});
  auto store_code = [&](int64_t i, int code) { args.packed[i / 2] |= static_cast<uint8_t>(i % 2 == 0 ? code << 4 : code); };
  for (int64_t begin = 0; begin < args.count; begin += args.block_size) {
    const int64_t end = std::min(args.count - begin, args.block_size) + begin;
    const bool full = end - begin == args.block_size;
    float absmax = 0;
    bool finite = true;
    for (int64_t i = begin; i < end; ++i) {
      const float w = load_float(args.weight, args.type, i);
      finite = finite && is_finite(w);
      absmax = std::max(absmax, std::fabs(w));
    }
    const float divisor = std::max(absmax, nf4::smallest_absmax);
    if (!full) absmax = divisor;
    args.absmax[begin / args.block_size] = finite ? absmax : std::numeric_limits<float>::quiet_NaN();
    for (int64_t i = begin; i < end; ++i) {
      const float w = load_float(args.weight, args.type, i);
      const float scaled = full ? w * (1.0f / divisor) : w / divisor;
      int code = 0;
      for (int c = 0; c < 15; ++c) code += nf4::midpoint_above(c) < scaled ? 1 : 0;
      store_code(i, finite ? code : 15);
    }
  }
  if (args.count % 2 != 0) store_code(args.count, nf4::zero_code);
}

}  // namespace torchao_ops
