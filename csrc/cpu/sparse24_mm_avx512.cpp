#include "csrc/cpu/sparse24_mm.h"

#include "csrc/cpu/sparse24_decode.h"
#include "csrc/cpu/sparse24_prefill.h"
#include "csrc/cpu/sparse24_tiles.h"
#include "csrc/cpu/sparse24_values_avx512.h"

namespace torchao_ops {

Status sparse24_mm_decode_avx512(const Sparse24MmArgs& args, const Parallel& parallel) {
  return with_values(args.weight, [&](auto* values) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(values)>>;
    using Activations = std::conditional_t<has_wide_range<T>, ExactActivations, OrdinaryActivations>;
    return sparse24_decode<PermutingX<Sparse24ValuesAvx512<T>>, Activations>(args, parallel);
  });
}

Status sparse24_mm_prefill_avx512(const Sparse24MmArgs& args, const Parallel& parallel) {
  return with_values(args.weight, [&](auto* values) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(values)>>;
    return sparse24_prefill<Sparse24Fp32Tile<Avx512>, ExactActivations, T>(args, parallel);
  });
}

}  // namespace torchao_ops
