#include "csrc/cpu/dequantize_rows.h"
#include "csrc/cpu/int8_dequantize.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status int8_dequantize_avx512(const Int8DequantizeArgs& args, const Parallel& parallel) {
  return dequantize_rows<Avx512>(args.weight, args.out, args.out_type, parallel);
}

}  // namespace torchao_ops
