#include "csrc/cpu/sparse24_compress_impl.h"
#include "csrc/cpu/sparse24_eight_avx2.h"

namespace torchao_ops {

Status sparse24_compress_avx2(const Sparse24CompressArgs& args, const Parallel& parallel) {
  return compress<Avx2Eight>(args, parallel);
}

}  // namespace torchao_ops
