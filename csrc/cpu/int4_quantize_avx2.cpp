#include "csrc/cpu/int4_quantize_impl.h"

namespace torchao_ops {

Status int4_quantize_avx2(const Int4QuantizeArgs& args, const Parallel& parallel) { return quantize(args, parallel); }

}  // namespace torchao_ops
