// The dense product, by cuBLASLt: what remains of a product with many rows once the weight is dequantized.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/float8.h"
#include "csrc/spec/float_types.h"
#include "csrc/spec/formats.h"

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
  bool y_is_f32 = false;  // the sums as they are, whatever `type` is; there is no bias then
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

// y[m, n] = sum_k x[m, k] * w[n, k] of 8-bit floating-point operands, in fp32: cuBLASLt is asked not to accumulate fast, that is to bring what
// its tensor cores have summed, with fewer bits than fp32, to fp32 again and again.
//
// The operands may have scales where they vary along k, in fp32 and in the order that cuBLASLt wants. Those of whole rows are for who asked for
// the sums: cuBLASLt may flush subnormal ones and cannot give an Inf among them its meaning (fp8_product.h).
enum class Fp8GemmScaling : uint8_t {
  none,
  group,  // one for each 128 elements of a row: [ceil(K / 128), rows]
  block,  // one for each 128 x 128: [ceil(rows / 128), fp8_gemm_block_stride(K)]
};
TORCHAO_OPS_CONSTEXPR int64_t fp8_gemm_block_stride(int64_t K) { return ceil_div(ceil_div(K, 128), 4) * 4; }

struct Fp8GemmOperand {
  Float8Type type;
  const void* codes;  // [rows, K]
  int64_t row_stride;
  Fp8GemmScaling scaling;
  const float* scale;  // null without scaling
};
struct Fp8GemmArgs {
  Fp8GemmOperand x, w;
  float* y;         // [M, N] adjacent
  int64_t M, N, K;  // all at least 1
  void* workspace;  // gemm_workspace_bytes, aligned to workspace_alignment
};

// What cuBLASLt multiplies. The cuBLAS guide, cublasLtMatmul ("To use tensor- or block-scaled FP8 kernels"): compute capability 8.9 and newer,
// and one operand at most is e5m2. "128-element 1D and 128x128 2D Block Scaling For FP8 Data Types": scales along k on 9.0 only.
inline bool fp8_gemm_has(Float8Type x, Float8Type w, bool scales_along_k, const Device& device) {
  if (x == Float8Type::e5m2 && w == Float8Type::e5m2) return false;
  return scales_along_k ? device.compute_capability == 90 : device.compute_capability >= 89;
}
// The same places: w is transposed for cuBLASLt and x is not; addresses and rows of multiples of 16 bytes; with scales along k also scales at
// such addresses, M and N in multiples of 4, and not blocks in both operands. For y the guide asks for N in multiples of 4; torch._scaled_mm has
// always asked for 16.
constexpr int64_t fp8_gemm_k_multiple = 16, fp8_gemm_n_multiple = 16, fp8_gemm_m_multiple_with_scales = 4;
inline bool fp8_gemm_takes(const Fp8GemmArgs& args, const Device& device) {
  const auto address = [](const void* pointer) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer)); };
  const auto suits = [&](const Fp8GemmOperand& operand, int64_t rows) {
    return (address(operand.codes) | address(operand.scale) | (rows == 1 ? 0 : operand.row_stride)) % 16 == 0;
  };
  const bool scaled = args.x.scaling != Fp8GemmScaling::none;
  return fp8_gemm_has(args.x.type, args.w.type, scaled, device) && scaled == (args.w.scaling != Fp8GemmScaling::none) &&
         (args.x.scaling != Fp8GemmScaling::block || args.w.scaling != Fp8GemmScaling::block) && suits(args.x, args.M) &&
         suits(args.w, args.N) && address(args.y) % 16 == 0 && args.K % fp8_gemm_k_multiple == 0 &&
         args.N % fp8_gemm_n_multiple == 0 && (!scaled || args.M % fp8_gemm_m_multiple_with_scales == 0);
}

// What cuBLAS recommends for Hopper (cublasSetWorkspace: 32 MiB); smaller devices use less of it.
constexpr int64_t gemm_workspace_bytes = int64_t{32} << 20;

// Whether a libcublasLt is loaded in this process or can be.
bool gemm_is_available();
Status gemm(const GemmArgs& args, const Context& context);
Status int8_gemm(const Int8GemmArgs& args, const Context& context);
Status fp8_gemm(const Fp8GemmArgs& args, const Context& context);
// Whether fp8_gemm takes them, and this libcublasLt does: scales along k came with version 12.9.
bool supports_fp8_gemm(const Fp8GemmArgs& args, const Context& context);

}  // namespace torchao_ops::cuda
