#include "csrc/cpu/dequantize_rows.h"
#include "csrc/cpu/fp8_dequantize.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status fp8_dequantize_avx512(const Fp8DequantizeArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    return dequantize_rows<Avx512>(Fp8Weight<decltype(type)>(args.weight), args.out, args.out_type, parallel);
  });
}

}  // namespace torchao_ops
