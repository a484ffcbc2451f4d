#include "csrc/cuda/nf4_quantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/groups.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

__device__ __forceinline__ uint32_t nearest_code(float scaled) {
  uint32_t code = 0;
#pragma unroll
  for (int c = 0; c < 15; ++c) code += nf4::midpoint_above(c) < scaled ? 1 : 0;
  return code;
}

// A warp takes a block, which begins with a whole byte: its largest magnitude, then its codes, a byte for each lane.
__global__ void __launch_bounds__(32 * groups_per_block) nf4_quantize_kernel(Nf4QuantizeArgs args, int64_t blocks) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(1, args.count, args.block_size, blocks, [&](int64_t block, int64_t, int64_t begin, int64_t end) {
    uint32_t bits = 0;
    for (int64_t i = begin + lane; i < end; i += 32) bits = larger(bits, magnitude_bits(load_float(args.weight, args.type, i)));
    const float magnitude = float_from_bits(warp_reduce(bits, larger));
    const bool finite = is_finite(magnitude), full = end - begin == args.block_size;
    const float divisor = magnitude > nf4::smallest_absmax ? magnitude : nf4::smallest_absmax, factor = 1.0f / divisor;
    const auto code_at = [&](int64_t i) {
      if (i == args.count) return static_cast<uint32_t>(nf4::zero_code);
      if (!finite) return 15u;
      const float weight = load_float(args.weight, args.type, i);
      return nearest_code(full ? weight * factor : weight / divisor);
    };
    for (int64_t i = begin + 2 * lane; i < end; i += 2 * 32) {
      args.packed[i / 2] = static_cast<uint8_t>(code_at(i) << 4 | code_at(i + 1));
    }
    if (lane == 0) args.absmax[block] = !finite ? quiet_nan() : full ? magnitude : divisor;
  });
}

}  // namespace

Status nf4_quantize(const Nf4QuantizeArgs& args, const Context& context) {
  const int64_t blocks = ceil_div(args.count, args.block_size);
  return launch("nf4_quantize_kernel", nf4_quantize_kernel, group_grid(1, blocks), group_block(), 0, context.stream, args,
                blocks);
}

}  // namespace torchao_ops::cuda
