#include "csrc/cuda/int4_mm_prefill.h"

#include <algorithm>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/gemm.h"
#include "csrc/cuda/int4_dequantize.h"
#include "csrc/cuda/launch.cuh"

namespace torchao_ops::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(256) convert_bias_kernel(const void* bias, FloatType type, int64_t N, T* converted) {
  const int64_t n = int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (n < N) converted[n] = round_to<T>(load_float(bias, type, n));
}

// Rows of the weight that are dequantized at a time: 64 MiB of them, to bound the workspace, but at least 1024, as many as keep a device busy
// in the product. A multiple of 256, so that the bias of each part is as aligned as gemm wants it, and so are the rows of y where N is.
int64_t rows_at_a_time(const Int4MmArgs& args) {
  constexpr int64_t most_bytes = int64_t{64} << 20, fewest_rows = 1024;
  const int64_t row_bytes = args.weight.K * size_of(args.mm.x_type);
  return std::min(args.weight.N, std::max(most_bytes / row_bytes / 256 * 256, fewest_rows));
}

struct Workspace {
  int64_t gemm, weight, bias, total;  // where they begin
  explicit Workspace(const Int4MmArgs& args) {
    const int64_t size = size_of(args.mm.x_type);
    const bool converts = args.mm.bias != nullptr && args.mm.bias_type != args.mm.x_type;
    gemm = 0;
    weight = workspace_aligned(gemm_workspace_bytes);
    bias = weight + workspace_aligned(rows_at_a_time(args) * args.weight.K * size);
    total = bias + (converts ? args.weight.N * size : 0);
  }
};

}  // namespace

int64_t int4_mm_prefill_workspace_bytes(const Int4MmArgs& args, const Device&) { return Workspace(args).total; }

Status int4_mm_prefill(const Int4MmArgs& args, const Context& context) {
  if (args.mm.M == 0 || args.weight.N == 0) return Status::ok;
  const Workspace places(args);
  uint8_t* const workspace = static_cast<uint8_t*>(context.workspace);
  const int64_t N = args.weight.N, K = args.weight.K, size = size_of(args.mm.x_type);
  const void* bias = args.mm.bias;
  Status status = Status::ok;
  if (bias != nullptr && args.mm.bias_type != args.mm.x_type) {
    status = with_float_type(args.mm.x_type, [&](auto type) {
      using T = decltype(type);
      return launch("convert_bias_kernel", convert_bias_kernel<T>, grid_of(ceil_div(N, 256), 1), dim3(256), 0, context.stream,
                    bias, args.mm.bias_type, N, reinterpret_cast<T*>(workspace + places.bias));
    });
    bias = workspace + places.bias;
  }
  const int64_t rows = rows_at_a_time(args);
  for (int64_t n = 0; n < N && status == Status::ok; n += rows) {
    Int4DequantizeArgs part{args.weight, workspace + places.weight, args.mm.x_type};
    part.weight.N = std::min(rows, N - n);
    part.weight.packed += n * args.weight.packed_row_stride;
    part.weight.scale =
        static_cast<const uint8_t*>(args.weight.scale) + n * args.weight.scale_row_stride * size_of(args.weight.scale_type);
    if (args.weight.zero_point != nullptr) {
      part.weight.zero_point = static_cast<const uint8_t*>(args.weight.zero_point) +
                               n * args.weight.zero_point_row_stride * size_of(args.weight.zero_point_type);
    }
    status = int4_dequantize(part, context);
    if (status != Status::ok) return status;

    GemmArgs product{};
    product.type = args.mm.x_type;
    product.x = args.mm.x;
    product.x_row_stride = args.mm.x_row_stride;
    product.w = part.out;
    product.w_row_stride = K;
    product.bias = bias == nullptr ? nullptr : static_cast<const uint8_t*>(bias) + n * size;
    product.y = static_cast<uint8_t*>(args.mm.y) + n * size;
    product.y_row_stride = N;
    product.M = args.mm.M;
    product.N = part.weight.N;
    product.K = K;
    product.workspace = workspace + places.gemm;
    status = gemm(product, context);
  }
  return status;
}

}  // namespace torchao_ops::cuda
