#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/int4_decode.h"
#include "csrc/cpu/int4_dequantizer.h"
#include "csrc/cpu/mm_prefill.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int4_mm_decode_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  if (args.mm.x_type == FloatType::f32) return int4_decode<Int4CodesFp32<Avx512, true>>(args, parallel);
  return int4_decode<Int4CodesFp32<Avx512, false>>(args, parallel);
}

Status int4_mm_prefill_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  return mm_prefill<Fp32Tile<Avx512>, Int4Dequantizer<Avx512>>(args.mm, args.weight, parallel);
}

}  // namespace torchao_ops
