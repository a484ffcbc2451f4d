// The product with a 2:4 sparse weight, by cuSPARSELt, which has sparse tensor cores skip the zeros. It keeps the weight in a layout of its own.
//
// Operands are fp16 or bf16, and so is y; or int8, with sums in int32; or e4m3fn, with sums in fp32. Rows are adjacent and all addresses aligned to 16
// bytes.
#pragma once

#include <cstdint>
#include <functional>

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops::cuda {

// What N and K are multiples of, and what M is (cuSPARSELt's guide, "cusparseLtStructuredDescriptorInit" and "DenseDescriptorInit").
constexpr int64_t cusparselt_weight_multiple(sparse24::ValueType type) { return 32 / sparse24::size_of(type); }
constexpr int64_t cusparselt_rows_multiple(sparse24::ValueType type) { return 16 / sparse24::size_of(type); }
constexpr int64_t cusparselt_alignment = 16;

// Whether a libcusparseLt that this library knows is loaded in this process or can be.
bool cusparselt_is_available();

// A weight [N, K]: how many bytes its layout has, and how many cusparselt_compress needs besides.
struct CusparseLtSizes {
  int64_t packed, scratch;
};
Status cusparselt_sizes(sparse24::ValueType type, int64_t N, int64_t K, const Context& context, CusparseLtSizes* sizes);

struct CusparseLtCompressArgs {
  sparse24::ValueType type;
  const void* weight;  // [N, K], of which each quad of a row has two zeros
  int64_t N, K;
  void *packed, *scratch;
};
Status cusparselt_compress(const CusparseLtCompressArgs& args, const Context& context);

// y[m, n] = sum_k x[m, k] * w[n, k] + y[m, n]. Sums are fp32, and y is rounded once; of int8 they are exact where they fit.
//
// cuSPARSELt plans a product before it is run. Plans are kept, one for each device, type, M, N and K. At its first call that is not
// captured into a CUDA graph, all algorithms are tried, which waits for the device, and the fastest is kept; until then there is the library's default.
struct CusparseLtMatmulArgs {
  sparse24::ValueType type;
  const void* x;       // [M, K]
  const void* packed;  // the weight, of the same type
  void* y;             // [M, N]
  int64_t M, N, K;     // all at least 1
  void* workspace;     // cusparselt_workspace_bytes, aligned to workspace_alignment
  // Enqueues what gives y its first value, which is added: trying algorithms overwrites it before. Empty: there is none, and y is not read.
  std::function<Status()> fill_y;
};
constexpr int64_t cusparselt_workspace_bytes = int64_t{32} << 20;
Status cusparselt_matmul(const CusparseLtMatmulArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
