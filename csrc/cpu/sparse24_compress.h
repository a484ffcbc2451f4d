// sparse24_compress on the CPU.
#pragma once

#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_compress.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status sparse24_compress(const Sparse24CompressArgs& args, const Parallel& parallel);

Status sparse24_compress_scalar(const Sparse24CompressArgs& args, const Parallel& parallel);
Status sparse24_compress_avx2(const Sparse24CompressArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
