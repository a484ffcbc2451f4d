#include "csrc/cpu/decode.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/mm_transposed.h"
#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_lookup_avx512.h"

namespace torchao_ops {

Status nf4_mm_decode_avx512(const Nf4MmArgs& args, const Parallel& parallel) { return mm_decode<Nf4CodesAvx512>(args, parallel); }

Status nf4_mm_prefill_avx512(const Nf4MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx512>, Nf4Dequantizer<Avx512>>(args.mm, args.weight, parallel);
}

Status nf4_mm_transposed_avx512(const Nf4MmArgs& args, const Parallel& parallel) {
  return mm_transposed<Avx512, Nf4Dequantizer<Avx512, prefill_sum_k>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
