#include "csrc/cuda/nf4_mm_transposed.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "csrc/cuda/gemm.h"
#include "csrc/cuda/nf4_dequantize.h"

namespace torchao_ops::cuda {
namespace {

// What lies where in the workspace, in bytes, and how many columns of the weight are dequantized at a time. Of columns, not of rows: each part then
// has whole sums, which are rounded once.
struct Workspace {
  int64_t columns, gemm, weight, total;

  // 64 MiB, as mm_prefill.cuh has it, in parts of about the same size. A multiple of 8, so that octets are whole and the parts of y are as aligned as its
  // rows.
  explicit Workspace(const Nf4MmArgs& args) {
    constexpr int64_t most_bytes = int64_t{64} << 20;
    const int64_t N = args.weight.N, K = args.weight.K, column_bytes = std::max<int64_t>(N, 1) * size_of(args.mm.x_type);
    const int64_t most_columns = std::max<int64_t>(most_bytes / column_bytes / 8 * 8, 8);
    const int64_t parts = std::max<int64_t>(ceil_div(K, most_columns), 1);
    columns = std::min(K, ceil_div(ceil_div(K, parts), 8) * 8);
    gemm = 0;
    weight = workspace_aligned(gemm_workspace_bytes);
    total = weight + columns * column_bytes;
  }
};

}  // namespace

int64_t nf4_mm_transposed_workspace_bytes(const Nf4MmArgs& args, const Device&) { return Workspace(args).total; }

Status nf4_mm_transposed(const Nf4MmArgs& args, const Context& context) {
  const MmArgs& mm = args.mm;
  const int64_t N = args.weight.N, K = args.weight.K, size = size_of(mm.x_type);
  if (mm.M == 0 || K == 0) return Status::ok;
  if (N == 0) {  // cuBLASLt takes no empty operands
    const cudaError_t error = cudaMemsetAsync(mm.y, 0, static_cast<size_t>(mm.M * K * size), context.stream);
    return error == cudaSuccess ? Status::ok : set_last_error(Status::cuda_failed, "cudaMemsetAsync", cudaGetErrorString(error));
  }
  const Workspace places(args);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  Status status = Status::ok;
  for (int64_t k = 0; k < K && status == Status::ok; k += places.columns) {
    const int64_t columns = std::min(places.columns, K - k);
    status = nf4_dequantize_part({args.weight, workspace + places.weight, mm.x_type}, {0, N, k, columns}, context);
    if (status != Status::ok) return status;

    GemmArgs product{};
    product.type = mm.x_type;
    product.x = mm.x;
    product.x_row_stride = mm.x_row_stride;
    product.w = workspace + places.weight;
    product.w_row_stride = columns;
    product.w_is_transposed = true;
    product.y = static_cast<uint8_t*>(mm.y) + k * size;
    product.y_row_stride = K;
    product.M = mm.M;
    product.N = columns;
    product.K = N;
    product.workspace = workspace + places.gemm;
    status = gemm(product, context);
  }
  return status;
}

}  // namespace torchao_ops::cuda
