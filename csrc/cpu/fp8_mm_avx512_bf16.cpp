// fp8_mm with bf16 activations and the bf16 dot product: bf16_dot.h.
#include "csrc/cpu/bf16_dot.h"
#include "csrc/cpu/byte_codes_bf16.h"
#include "csrc/cpu/decode.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/mm_prefill.h"

namespace torchao_ops {

Status fp8_mm_decode_avx512_bf16(const Fp8MmArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type,
                     [&](auto type) { return mm_decode<ByteCodesBf16<Fp8MmArgs, Fp8Loader<decltype(type)>>>(args, parallel); });
}

Status fp8_mm_prefill_avx512_bf16(const Fp8MmArgs& args, const Parallel& parallel) {
  const Status status = with_float8(args.weight.type, [&](auto type) {
    using Weight = Fp8Weight<decltype(type)>;
    return mm_prefill<Bf16Tile, DequantizerBf16<Weight>>(args.mm, Weight(args.weight), parallel);
  });
  if (status == Status::ok) recompute_unusual(args, parallel);
  return status;
}

}  // namespace torchao_ops
