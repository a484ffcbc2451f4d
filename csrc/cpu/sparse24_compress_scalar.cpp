#include "csrc/cpu/sparse24_compress_impl.h"

namespace torchao_ops {

Status sparse24_compress_scalar(const Sparse24CompressArgs& args, const Parallel& parallel) {
  return compress<ScalarEight>(args, parallel);
}

}  // namespace torchao_ops
