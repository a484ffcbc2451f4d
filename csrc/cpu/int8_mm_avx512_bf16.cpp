// int8_mm with bf16 activations and the bf16 dot product: bf16_dot.h.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/int8_codes_bf16.h"
#include "csrc/cpu/mm_prefill.h"

namespace torchao_ops {

Status int8_mm_decode_avx512_bf16(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_decode<Int8CodesBf16>(args, parallel);
}

Status int8_mm_prefill_avx512_bf16(const Int8MmArgs& args, const Parallel& parallel) {
  const Status status = mm_prefill<Bf16Tile, Int8DequantizerBf16>(args.mm, args.weight, parallel);
  if (status == Status::ok) recompute_unusual(args, parallel);
  return status;
}

}  // namespace torchao_ops
