#include "csrc/cpu/nf4_quantize_absmax.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status nf4_quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa >= Isa::avx2) return nf4_quantize_absmax_avx2(args, parallel);
  return nf4_quantize_absmax_scalar(args, parallel);
}

}  // namespace torchao_ops
