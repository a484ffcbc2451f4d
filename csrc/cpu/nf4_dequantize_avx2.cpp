#include "csrc/cpu/nf4_dequantize_impl.h"
#include "csrc/cpu/nf4_lookup_avx2.h"

namespace torchao_ops {

Status nf4_dequantize_avx2(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  return dequantize_nf4<Avx2>(args, parallel);
}

}  // namespace torchao_ops
