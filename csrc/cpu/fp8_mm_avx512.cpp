#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status fp8_mm_decode_avx512(const Fp8MmArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    return mm_decode<ByteCodesFp32<Avx512, Fp8MmArgs, Fp8Loader<decltype(type)>>>(args, parallel);
  });
}

Status fp8_mm_prefill_avx512(const Fp8MmArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    using Weight = Fp8Weight<decltype(type)>;
    return mm_prefill<Fp32Tile<Avx512>, Dequantizer<Avx512, Weight>>(args.mm, Weight(args.weight), parallel);
  });
}

Status fp8_mm_avx512(const Fp8MmArgs& args, const Parallel& parallel) {
  return prefers_fp8_mm_decode(args) ? fp8_mm_decode_avx512(args, parallel) : fp8_mm_prefill_avx512(args, parallel);
}

}  // namespace torchao_ops
