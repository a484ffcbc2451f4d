// nf4_mm with bf16 activations and the bf16 dot product: bf16_dot.h. Only where the weight may be rounded to bf16: decode keeps its numbers exact.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/nf4_blocks.h"
#include "csrc/cpu/nf4_lookup_avx512.h"

namespace torchao_ops {

Status nf4_mm_prefill_avx512_bf16(const Nf4MmArgs& args, const Parallel& parallel) {
  const Status status = mm_prefill<Bf16Tile, Nf4Dequantizer<Avx512>>(args.mm, args.weight, parallel);
  if (status == Status::ok) recompute_unusual(args, parallel);
  return status;
}

}  // namespace torchao_ops
