// fp8_scaled_mm on the CPU. a becomes fp32 numbers, and what fp8_mm would run on them runs: fp8_activations.h.
#pragma once

#include "csrc/spec/fp8_scaled_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status fp8_scaled_mm(const Fp8ScaledMmArgs& args, const Parallel& parallel);

Status fp8_scaled_mm_scalar(const Fp8ScaledMmArgs& args, const Parallel& parallel);
Status fp8_scaled_mm_avx2(const Fp8ScaledMmArgs& args, const Parallel& parallel);
Status fp8_scaled_mm_avx512(const Fp8ScaledMmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
