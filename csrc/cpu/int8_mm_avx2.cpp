#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/int8_codes.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status int8_mm_decode_avx2(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_decode<Int8CodesFp32<Avx2>>(args, parallel);
}

Status int8_mm_prefill_avx2(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx2>, Dequantizer<Avx2, int8::Weight>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
