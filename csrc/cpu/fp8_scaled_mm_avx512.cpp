#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/fp8_dequantize.h"
#include "csrc/cpu/fp8_scaled_mm.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status fp8_scaled_mm_avx512(const Fp8ScaledMmArgs& args, const Parallel& parallel) {
  return scaled_product(args, fp8_dequantize_avx512, fp8_mm_avx512, store_numbers<Avx512>, parallel);
}

}  // namespace torchao_ops
