// The operators with 2:4 sparse weights in cuSPARSELt's layout (cusparselt.h), of any size: operands are padded with zeros to what it asks for.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/mm.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops::cuda {

struct Sparse24CusparseltCompressArgs {
  sparse24::Weight weight;  // of any type but fp32, N and K at least 1; its scale is not used
  void* packed;             // sparse24_cusparselt_packed_bytes
  int64_t* violation;       // on the device, as sparse24_decompress has it
};

// Of a weight [N, K].
Status sparse24_cusparselt_packed_bytes(sparse24::ValueType type, int64_t N, int64_t K, const Context& context, int64_t* bytes);
Status sparse24_cusparselt_compress_workspace_bytes(const Sparse24CusparseltCompressArgs& args, const Context& context,
                                                    int64_t* bytes);
Status sparse24_cusparselt_compress(const Sparse24CusparseltCompressArgs& args, const Context& context);

// y = x @ w.T + bias. A bias of another type than x's is rounded to that first. An Inf in x gives NaN only where the weight's layout stores the element
// that it is multiplied by: products with other zeros are not formed.
struct Sparse24CusparseltMmArgs {
  MmArgs mm;  // x of fp16 or bf16, the weight's type; M at least 1
  const void* packed;
  int64_t N, K;  // at least 1
};

int64_t sparse24_cusparselt_mm_workspace_bytes(const Sparse24CusparseltMmArgs& args, const Device& device);
Status sparse24_cusparselt_mm(const Sparse24CusparseltMmArgs& args, const Context& context);

// sparse24_dynamic_mm, to which it leaves int8 weights with K > sparse24_exact_k. What cannot be computed from sums is computed from the weight.
struct Sparse24CusparseltDynamicMmArgs {
  Sparse24MmArgs product;  // M, N and K at least 1
  const void* packed;      // its weight
};

int64_t sparse24_cusparselt_dynamic_mm_workspace_bytes(const Sparse24CusparseltDynamicMmArgs& args, const Device& device);
Status sparse24_cusparselt_dynamic_mm(const Sparse24CusparseltDynamicMmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
