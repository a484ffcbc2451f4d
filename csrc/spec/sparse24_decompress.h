// sparse24_decompress: the contract between csrc/ops and the kernels.
#pragma once

#include "csrc/spec/sparse24.h"

namespace torchao_ops {

// The values in their places and +0 elsewhere, bit for bit; no scale is applied.
struct Sparse24DecompressArgs {
  sparse24::Weight weight;  // scale is not used
  void* out;                // [N, K] adjacent, of the values' type
  int64_t* violation;       // [1], as sparse24_compress has it
};

void sparse24_decompress_ref(const Sparse24DecompressArgs& args);

}  // namespace torchao_ops
