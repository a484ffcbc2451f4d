#include "csrc/cpu/int8_quantize_impl.h"

namespace torchao_ops {

Status int8_quantize_avx2(const Int8QuantizeArgs& args, const Parallel& parallel) { return quantize(args, parallel); }

}  // namespace torchao_ops
