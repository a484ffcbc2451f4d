#include "csrc/cuda/int8_dynamic_mm_prefill.h"

#include <algorithm>

#include "csrc/cuda/gemm.h"
#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_sums.cuh"
#include "csrc/cuda/quantize_activations.h"

namespace torchao_ops::cuda {
namespace {

// What lies where in the workspace behind the quantized x, in bytes, and how many rows of x are multiplied at a time.
struct Places {
  int64_t rows, sums, total;

  explicit Places(const Int8MmArgs& args) {
    const int64_t row_bytes = args.weight.N * static_cast<int64_t>(sizeof(int32_t));
    rows = rows_of_sums(args.mm.M, row_bytes);
    sums = workspace_aligned(gemm_workspace_bytes);
    total = sums + rows * row_bytes;
  }
};

// For rows [m, m + rows) of x.
Int8GemmArgs sums_of(const Int8MmArgs& args, const QuantizedX& x, const Places& places, int64_t m, int64_t rows) {
  uint8_t* const workspace = static_cast<uint8_t*>(x.rest);
  Int8GemmArgs sums{};
  sums.x = reinterpret_cast<const int8_t*>(x.q) + m * x.row_bytes;
  sums.x_row_stride = x.row_bytes;
  sums.w = args.weight.codes;
  sums.w_row_stride = args.weight.row_stride;
  sums.y = reinterpret_cast<int32_t*>(workspace + places.sums);
  sums.M = rows;
  sums.N = args.weight.N;
  sums.K = args.weight.K;
  sums.workspace = workspace;
  return sums;
}

}  // namespace

bool supports_int8_dynamic_mm_prefill(const Int8MmArgs& args) {
  const int8::Weight& w = args.weight;
  if (args.mm.M == 0 || w.N == 0 || w.K == 0 || w.K > int8_exact_k || w.group_size < w.K) return false;
  Int8GemmArgs sums{};  // x and y are in the workspace and aligned
  sums.x_row_stride = quantized_row_elements(w.K);
  sums.w = w.codes;
  sums.w_row_stride = w.row_stride;
  sums.N = w.N;
  sums.K = w.K;
  return supports_int8_gemm(sums);
}

int64_t int8_dynamic_mm_prefill_workspace_bytes(const Int8MmArgs& args, const Device&) {
  return QuantizedX::bytes(args.mm.M, args.weight.K) + Places(args).total;
}

Status int8_dynamic_mm_prefill(const Int8MmArgs& args, const Context& context) {
  const MmArgs& mm = args.mm;
  const int64_t N = args.weight.N;
  const QuantizedX x(mm.M, args.weight.K, context.workspace);
  const Places places(args);
  Status status = quantize_activations(mm, args.weight.K, OctetOrder::natural, x, context);
  for (int64_t m = 0; m < mm.M && status == Status::ok; m += places.rows) {
    const int64_t rows = std::min(places.rows, mm.M - m);
    const Int8GemmArgs sums = sums_of(args, x, places, m, rows);
    status = int8_gemm(sums, context);
    if (status != Status::ok) return status;
    status = finish_sums(Product<Int8>{mm, args.weight, x.scale}, m, rows, Sums<int32_t>{sums.y, N, 0, N, nullptr}, context);
  }
  return status;
}

}  // namespace torchao_ops::cuda
