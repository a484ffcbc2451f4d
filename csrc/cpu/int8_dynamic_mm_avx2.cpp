#include "csrc/cpu/decode.h"
#include "csrc/cpu/dynamic_prefill.h"
#include "csrc/cpu/int8_codes.h"
#include "csrc/cpu/int8_dot.h"
#include "csrc/cpu/int8_dynamic_mm.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status int8_dynamic_mm_decode_avx2(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_decode<Int8CodesInt16>(args, parallel);
}

Status int8_dynamic_mm_prefill_avx2(const Int8MmArgs& args, const Parallel& parallel) {
  return DynamicPrefill<Int8DotInt16>(args, parallel).run(parallel);
}

}  // namespace torchao_ops
