// int8_mm with bf16 activations and the bf16 dot product: bf16_dot.h.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/byte_codes_bf16.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/int8_codes.h"
#include "csrc/cpu/mm_prefill.h"

namespace torchao_ops {

Status int8_mm_decode_avx512_bf16(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_decode<ByteCodesBf16<Int8MmArgs, Int8Loader>>(args, parallel);
}

Status int8_mm_prefill_avx512_bf16(const Int8MmArgs& args, const Parallel& parallel) {
  const Status status = mm_prefill<Bf16Tile, DequantizerBf16<int8::Weight>>(args.mm, args.weight, parallel);
  if (status == Status::ok) recompute_unusual(args, parallel);
  return status;
}

}  // namespace torchao_ops
