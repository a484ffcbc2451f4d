// The dense product, by cuBLASLt: what remains of a product with many rows once the weight is dequantized.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/float_types.h"

namespace torchao_ops::cuda {

// y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], all of one type; sums and the bias's addition are fp32 (for fp32 operands without TF32). Rows may be
// aligned to an element only, but do not overlap: strides are at least the row's length, unless there is one row.
struct GemmArgs {
  FloatType type;
  const void* x;  // [M, K]
  int64_t x_row_stride;
  const void* w;  // [N, K], or [K, N] if w_is_transposed: w[n, k] is then in row k
  int64_t w_row_stride;
  const void* bias;  // [N] of `type` and aligned to gemm_bias_alignment, or null
  void* y;           // [M, N]
  int64_t y_row_stride;
  int64_t M, N, K;  // all at least 1
  void* workspace;  // gemm_workspace_bytes, aligned to workspace_alignment
  bool w_is_transposed = false;
};

// cuBLASLt reads from the bias's address how it is aligned, says its header, but has been seen to choose kernels that read 16 bytes at once from
// addresses that are not aligned so (pytorch/pytorch#194497).
constexpr int64_t gemm_bias_alignment = 16;

// y[m, n] = sum_k x[m, k] * w[n, k] for int8 operands, in int32: exact where the sum fits.
struct Int8GemmArgs {
  const int8_t* x;  // [M, K]
  int64_t x_row_stride;
  const int8_t* w;  // [N, K]
  int64_t w_row_stride;
  int32_t* y;       // [M, N] adjacent
  int64_t M, N, K;  // all at least 1
  void* workspace;  // gemm_workspace_bytes, aligned to workspace_alignment
};
// The cuBLAS guide (cublasLtMatmul, "IMMA kernels", regular order): addresses, strides, K and N must be multiples of 4.
inline bool supports_int8_gemm(const Int8GemmArgs& args) {
  const auto address = [](const void* pointer) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer)); };
  return (address(args.x) | args.x_row_stride | address(args.w) | args.w_row_stride | address(args.y) | args.N | args.K) % 4 == 0;
}

// What cuBLAS recommends for Hopper (cublasSetWorkspace: 32 MiB); smaller devices use less of it.
constexpr int64_t gemm_workspace_bytes = int64_t{32} << 20;

// Whether a libcublasLt is loaded in this process or can be.
bool gemm_is_available();
Status gemm(const GemmArgs& args, const Context& context);
Status int8_gemm(const Int8GemmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
