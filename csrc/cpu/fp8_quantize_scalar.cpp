#include "csrc/cpu/fp8_quantize_impl.h"

namespace torchao_ops {

Status fp8_quantize_scalar(const Fp8QuantizeArgs& args, const Parallel& parallel) { return quantize(args, parallel); }

}  // namespace torchao_ops
