#include "csrc/cpu/nf4_quantize_absmax_impl.h"

namespace torchao_ops {

Status nf4_quantize_absmax_scalar(const Nf4QuantizeAbsmaxArgs& args, const Parallel& parallel) {
  return quantize_absmax(args, parallel);
}

}  // namespace torchao_ops
