#include "csrc/cpu/dequantize_rows.h"
#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int4_dequantize_avx512(const Int4DequantizeArgs& args, const Parallel& parallel) {
  return dequantize_rows<Avx512>(args.weight, args.out, args.out_type, parallel);
}

}  // namespace torchao_ops
