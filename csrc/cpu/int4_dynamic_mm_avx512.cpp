#include "csrc/cpu/decode.h"
#include "csrc/cpu/dynamic_prefill.h"
#include "csrc/cpu/int4_codes.h"
#include "csrc/cpu/int4_dot.h"
#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int4_dynamic_mm_decode_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  return mm_decode<Int4CodesInt8<Avx512>>(args, parallel);
}

Status int4_dynamic_mm_prefill_avx512(const Int4MmArgs& args, const Parallel& parallel) {
  return DynamicPrefill<Int4Dot<Avx512DotU8S8>>(args, parallel).run(parallel);
}

}  // namespace torchao_ops
