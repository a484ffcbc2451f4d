#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/int4_decode.h"
#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/int4_dynamic_prefill.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status int4_dynamic_mm_decode_avx2(const Int4MmArgs& args, const Parallel& parallel) {
  return int4_decode<Int4CodesInt8<Avx2>>(args, parallel);
}

Status int4_dynamic_mm_prefill_avx2(const Int4MmArgs& args, const Parallel& parallel) {
  return Int4DynamicPrefill<Avx2DotU4S8>(args, parallel).run(parallel);
}

}  // namespace torchao_ops
