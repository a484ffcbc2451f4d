#include "csrc/cpu/decode.h"
#include "csrc/cpu/dynamic_prefill.h"
#include "csrc/cpu/int8_dynamic_mm.h"
#include "csrc/cpu/int8_vnni.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int8_dynamic_mm_decode_avx512(const Int8MmArgs& args, const Parallel& parallel) {
  return mm_decode<Int8CodesVnni>(args, parallel);
}

Status int8_dynamic_mm_prefill_avx512(const Int8MmArgs& args, const Parallel& parallel) {
  return DynamicPrefill<Int8DotVnni>(args, parallel).run(parallel);
}

}  // namespace torchao_ops
