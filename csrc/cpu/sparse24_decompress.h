// sparse24_decompress on the CPU.
#pragma once

#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_decompress.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status sparse24_decompress(const Sparse24DecompressArgs& args, const Parallel& parallel);

Status sparse24_decompress_scalar(const Sparse24DecompressArgs& args, const Parallel& parallel);
Status sparse24_decompress_avx2(const Sparse24DecompressArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
