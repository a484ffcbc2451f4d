// fp8_dynamic_mm on the CPU. x, quantized, becomes fp32 numbers, and what fp8_mm would run on them runs: fp8_activations.h.
#pragma once

#include "csrc/spec/fp8_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status fp8_dynamic_mm(const Fp8MmArgs& args, const Parallel& parallel);

Status fp8_dynamic_mm_scalar(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_dynamic_mm_avx2(const Fp8MmArgs& args, const Parallel& parallel);
Status fp8_dynamic_mm_avx512(const Fp8MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
