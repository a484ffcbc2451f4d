#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/fp8_dequantize.h"
#include "csrc/cpu/fp8_scaled_mm.h"

namespace torchao_ops {

Status fp8_scaled_mm_scalar(const Fp8ScaledMmArgs& args, const Parallel& parallel) {
  return scaled_product(args, fp8_dequantize_scalar, fp8_mm_scalar, store_row, parallel);
}

}  // namespace torchao_ops
