#include "csrc/cpu/int8_dequantize.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status int8_dequantize(const Int8DequantizeArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512) return int8_dequantize_avx512(args, parallel);
  if (isa == Isa::avx2) return int8_dequantize_avx2(args, parallel);
  return int8_dequantize_scalar(args, parallel);
}

}  // namespace torchao_ops
