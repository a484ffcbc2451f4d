#include "csrc/cuda/fp8_quantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/groups.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

// Of elements [begin, end) of row n, by a warp; magnitude_bits (elements.cuh).
__device__ __forceinline__ uint32_t largest_bits(const Fp8QuantizeArgs& args, int64_t n, int64_t begin, int64_t end, int lane) {
  uint32_t bits = 0;
  for (int64_t k = begin + lane; k < end; k += 32) {
    bits = larger(bits, magnitude_bits(load_float(args.input, args.type, n * args.input_row_stride + k)));
  }
  return warp_reduce(bits, larger);
}

// Scale i, from the largest magnitude of what it stands for.
__device__ __forceinline__ void set_scale(const Fp8QuantizeArgs& args, int64_t i, uint32_t bits) {
  const float magnitude = float_from_bits(bits);
  store_scale(magnitude / largest_of(args.code_type), is_finite(magnitude), args.scale, args.type, i);
}

__device__ __forceinline__ void set_codes(const Fp8QuantizeArgs& args, int64_t i, int64_t n, int64_t begin, int64_t end,
                                          int lane) {
  const float scale = load_float(args.scale, args.type, i);
  const bool usable = is_finite(scale) && scale != 0;
  for (int64_t k = begin + lane; k < end; k += 32) {
    const float number = usable ? load_float(args.input, args.type, n * args.input_row_stride + k) / scale : 0.0f;
    store_float8(number, args.codes, args.code_type, n * args.K + k);
  }
}

// Scales of one row: a warp takes a group.
__global__ void __launch_bounds__(32 * groups_per_block) fp8_quantize_groups_kernel(Fp8QuantizeArgs args, int64_t G) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(args.N, args.K, args.group_size, G, [&](int64_t i, int64_t n, int64_t begin, int64_t end) {
    const uint32_t bits = largest_bits(args, n, begin, end, lane);
    if (lane == 0) set_scale(args, i, bits);
    __syncwarp();  // lane 0 stored what all read
    set_codes(args, i, n, begin, end, lane);
  });
}

// Scales of several rows: first the largest magnitude of each row's groups, [N, G],
__global__ void __launch_bounds__(32 * groups_per_block)
    fp8_row_magnitudes_kernel(Fp8QuantizeArgs args, int64_t G, uint32_t* row_bits) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(args.N, args.K, args.group_size, G, [&](int64_t i, int64_t n, int64_t begin, int64_t end) {
    const uint32_t bits = largest_bits(args, n, begin, end, lane);
    if (lane == 0) row_bits[i] = bits;
  });
}

// then the scales, each by a warp,
__global__ void __launch_bounds__(32 * groups_per_block)
    fp8_block_scales_kernel(Fp8QuantizeArgs args, int64_t G, const uint32_t* row_bits) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t blocks = ceil_div(args.N, args.row_block);
  for_each_group(blocks, G, 1, G, [&](int64_t i, int64_t block, int64_t g, int64_t) {
    const int64_t begin = block * args.row_block, end = args.N - begin < args.row_block ? args.N : begin + args.row_block;
    uint32_t bits = 0;
    for (int64_t n = begin + lane; n < end; n += 32) bits = larger(bits, row_bits[n * G + g]);
    bits = warp_reduce(bits, larger);
    if (lane == 0) set_scale(args, i, bits);
  });
}

// then the codes.
__global__ void __launch_bounds__(32 * groups_per_block) fp8_block_codes_kernel(Fp8QuantizeArgs args, int64_t G) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(args.N, args.K, args.group_size, G, [&](int64_t i, int64_t n, int64_t begin, int64_t end) {
    set_codes(args, n / args.row_block * G + i - n * G, n, begin, end, lane);
  });
}

}  // namespace

int64_t fp8_quantize_workspace_bytes(const Fp8QuantizeArgs& args, const Device&) {
  if (args.row_block == 1) return 0;
  return args.N * group_count(args.K, args.group_size) * static_cast<int64_t>(sizeof(uint32_t));
}

Status fp8_quantize(const Fp8QuantizeArgs& args, const Context& context) {
  Status status = check_row_length(args.K);
  if (status != Status::ok) return status;
  const int64_t G = group_count(args.K, args.group_size);
  const dim3 grid = group_grid(args.N, G);
  if (args.row_block == 1) {
    return launch("fp8_quantize_groups_kernel", fp8_quantize_groups_kernel, grid, group_block(), 0, context.stream, args, G);
  }
  uint32_t* const row_bits = static_cast<uint32_t*>(context.workspace);
  status =
      launch("fp8_row_magnitudes_kernel", fp8_row_magnitudes_kernel, grid, group_block(), 0, context.stream, args, G, row_bits);
  if (status != Status::ok) return status;
  status = launch("fp8_block_scales_kernel", fp8_block_scales_kernel, group_grid(ceil_div(args.N, args.row_block), G),
                  group_block(), 0, context.stream, args, G, row_bits);
  if (status != Status::ok) return status;
  return launch("fp8_block_codes_kernel", fp8_block_codes_kernel, grid, group_block(), 0, context.stream, args, G);
}

}  // namespace torchao_ops::cuda
