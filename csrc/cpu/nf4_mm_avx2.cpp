#include "csrc/cpu/decode.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/mm_transposed.h"
#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_lookup_avx2.h"

namespace torchao_ops {

Status nf4_mm_decode_avx2(const Nf4MmArgs& args, const Parallel& parallel) { return mm_decode<Nf4CodesAvx2>(args, parallel); }

Status nf4_mm_prefill_avx2(const Nf4MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx2>, Nf4Dequantizer<Avx2>>(args.mm, args.weight, parallel);
}

Status nf4_mm_transposed_avx2(const Nf4MmArgs& args, const Parallel& parallel) {
  return mm_transposed<Avx2, Nf4Dequantizer<Avx2, prefill_sum_k>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
