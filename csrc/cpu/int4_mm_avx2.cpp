#include "csrc/cpu/decode.h"
#include "csrc/cpu/dequantizer.h"
#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status int4_mm_decode_avx2(const Int4MmArgs& args, const Parallel& parallel) {
  if (args.mm.x_type == FloatType::f32) return mm_decode<Int4CodesFp32<Avx2, true>>(args, parallel);
  return mm_decode<Int4CodesFp32<Avx2, false>>(args, parallel);
}

Status int4_mm_prefill_avx2(const Int4MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx2>, Dequantizer<Avx2, int4::Weight>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
