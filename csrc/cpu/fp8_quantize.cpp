#include "csrc/cpu/fp8_quantize.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status fp8_quantize(const Fp8QuantizeArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa >= Isa::avx2) return fp8_quantize_avx2(args, parallel);
  return fp8_quantize_scalar(args, parallel);
}

}  // namespace torchao_ops
