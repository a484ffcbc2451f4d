#include "csrc/cpu/dequantize_rows.h"
#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status int4_dequantize_avx2(const Int4DequantizeArgs& args, const Parallel& parallel) {
  return dequantize_rows<Avx2>(args.weight, args.out, args.out_type, parallel);
}

}  // namespace torchao_ops
