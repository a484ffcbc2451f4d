// The product with a 2:4 sparse weight, by cuSPARSELt, which has sparse tensor cores skip the zeros. It keeps the weight in a layout of its own.
//
// It asks for sizes that are multiples: N and K of 16, M of 8 (cuSPARSELt's guide, "cusparseLtStructuredDescriptorInit" and "DenseDescriptorInit", for
// 16-bit types). Rows are adjacent and all addresses aligned to 16 bytes.
#pragma once

#include <cstdint>
#include <functional>

#include "csrc/cuda/device.h"
#include "csrc/spec/float_types.h"

namespace torchao_ops::cuda {

constexpr int64_t cusparselt_weight_multiple = 16, cusparselt_rows_multiple = 8, cusparselt_alignment = 16;

// Whether a libcusparseLt that this library knows is loaded in this process or can be.
bool cusparselt_is_available();

// A weight [N, K] of fp16 or bf16: how many bytes its layout has, and how many cusparselt_compress needs besides.
struct CusparseLtSizes {
  int64_t packed, scratch;
};
Status cusparselt_sizes(FloatType type, int64_t N, int64_t K, const Context& context, CusparseLtSizes* sizes);

struct CusparseLtCompressArgs {
  FloatType type;
  const void* weight;  // [N, K], of which each quad of a row has two zeros
  int64_t N, K;
  void *packed, *scratch;
};
Status cusparselt_compress(const CusparseLtCompressArgs& args, const Context& context);

// y[m, n] = sum_k x[m, k] * w[n, k] * scale[n] + y[m, n]. Sums are fp32, and y is rounded once.
//
// cuSPARSELt plans a product before it is run. Plans are kept, one for each device, type, M, N, K and use of a scale. At its first call that is not
// captured into a CUDA graph, all algorithms are tried, which waits for the device, and the fastest is kept; until then there is the library's default.
struct CusparseLtMatmulArgs {
  FloatType type;
  const void* x;       // [M, K]
  const void* packed;  // the weight, of the same type
  const float* scale;  // [N], or null: 1
  void* y;             // [M, N]
  int64_t M, N, K;     // all at least 1
  void* workspace;     // cusparselt_workspace_bytes, aligned to workspace_alignment
  // Enqueues what gives y its first value, which is added: trying algorithms overwrites it before. Empty: there is none, and y is not read.
  std::function<Status()> fill_y;
};
constexpr int64_t cusparselt_workspace_bytes = int64_t{32} << 20;
Status cusparselt_matmul(const CusparseLtMatmulArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
