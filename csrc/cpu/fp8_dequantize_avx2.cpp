#include "csrc/cpu/dequantize_rows.h"
#include "csrc/cpu/fp8_dequantize.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status fp8_dequantize_avx2(const Fp8DequantizeArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    return dequantize_rows<Avx2>(Fp8Weight<decltype(type)>(args.weight), args.out, args.out_type, parallel);
  });
}

}  // namespace torchao_ops
