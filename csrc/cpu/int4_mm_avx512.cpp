#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int4_mm_decode_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  if (args.mm.x_type == FloatType::f32) return mm_decode<Int4CodesFp32<Avx512, true>>(args, parallel);
  return mm_decode<Int4CodesFp32<Avx512, false>>(args, parallel);
}

Status int4_mm_prefill_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx512>, Dequantizer<Avx512, int4::Weight>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
