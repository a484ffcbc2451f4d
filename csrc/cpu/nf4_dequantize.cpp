#include "csrc/cpu/nf4_dequantize.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status nf4_dequantize(const Nf4DequantizeArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512) return nf4_dequantize_avx512(args, parallel);
  if (isa == Isa::avx2) return nf4_dequantize_avx2(args, parallel);
  return nf4_dequantize_scalar(args, parallel);
}

}  // namespace torchao_ops
