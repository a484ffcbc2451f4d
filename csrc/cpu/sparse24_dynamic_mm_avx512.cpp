#include "csrc/cpu/sparse24_dynamic_mm.h"

#include "csrc/cpu/sparse24_decode.h"
#include "csrc/cpu/sparse24_prefill.h"
#include "csrc/cpu/sparse24_tiles.h"
#include "csrc/cpu/sparse24_values_avx512.h"

namespace torchao_ops {

Status sparse24_dynamic_mm_decode_avx512(const Sparse24MmArgs& args, const Parallel& parallel) {
  return args.weight.value_type == sparse24::ValueType::int8
             ? sparse24_decode<PermutingX<Sparse24ValuesAvx512<int8_t>>, Int8Activations>(args, parallel)
             : sparse24_decode<PermutingX<Sparse24ValuesAvx512<Float8E4m3fn>>, E4m3fnActivations>(args, parallel);
}

Status sparse24_dynamic_mm_prefill_avx512(const Sparse24MmArgs& args, const Parallel& parallel) {
  return args.weight.value_type == sparse24::ValueType::int8
             ? sparse24_prefill<Sparse24Int16Tile<Avx512>, Int8Activations, int8_t>(args, parallel)
             : sparse24_prefill<Sparse24Fp32Tile<Avx512>, E4m3fnActivations, Float8E4m3fn>(args, parallel);
}

}  // namespace torchao_ops
