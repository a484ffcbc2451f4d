#include "csrc/cpu/int4_dequantize.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

Status int4_dequantize(const Int4DequantizeArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512) return int4_dequantize_avx512(args, parallel);
  if (isa == Isa::avx2) return int4_dequantize_avx2(args, parallel);
  return int4_dequantize_scalar(args, parallel);
}

}  // namespace torchao_ops
