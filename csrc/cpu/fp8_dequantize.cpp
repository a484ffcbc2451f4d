#include "csrc/cpu/fp8_dequantize.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status fp8_dequantize(const Fp8DequantizeArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512) return fp8_dequantize_avx512(args, parallel);
  if (isa == Isa::avx2) return fp8_dequantize_avx2(args, parallel);
  return fp8_dequantize_scalar(args, parallel);
}

}  // namespace torchao_ops
