#include "csrc/cpu/nf4_quantize_impl.h"

namespace torchao_ops {

Status nf4_quantize_avx2(const Nf4QuantizeArgs& args, const Parallel& parallel) { return quantize(args, parallel); }

}  // namespace torchao_ops
