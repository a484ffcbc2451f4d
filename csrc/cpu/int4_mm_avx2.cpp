#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/simd_avx2.h"

#include "csrc/cpu/int4_mm_decode.h"

namespace torchao_ops {

Status int4_mm_decode_avx2(const Int4MmArgs& args, const Parallel& parallel) {
  if (args.mm.x_type == FloatType::f32) return int4_mm_decode<Int4CodesFp32<Avx2, true>>(args, parallel);
  return int4_mm_decode<Int4CodesFp32<Avx2, false>>(args, parallel);
}

}  // namespace torchao_ops
