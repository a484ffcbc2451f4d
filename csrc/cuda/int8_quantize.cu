#include "csrc/cuda/int8_quantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/groups.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

// A warp takes a group: its largest magnitude, its scale, its codes.
__global__ void __launch_bounds__(32 * groups_per_block) int8_quantize_kernel(Int8QuantizeArgs args, int64_t G) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(args.N, args.K, args.group_size, G, [&](int64_t i, int64_t n, int64_t begin, int64_t end) {
    uint32_t bits = 0;
    for (int64_t k = begin + lane; k < end; k += 32) {
      bits = larger(bits, magnitude_bits(load_float(args.weight, args.type, n * args.weight_row_stride + k)));
    }
    const float magnitude = float_from_bits(warp_reduce(bits, larger));
    if (lane == 0) store_scale(magnitude / int8::largest_code, is_finite(magnitude), args.scale, args.type, i);
    __syncwarp();  // lane 0 stored what all read
    const float scale = load_float(args.scale, args.type, i);
    const bool usable = is_finite(scale) && scale != 0;
    for (int64_t k = begin + lane; k < end; k += 32) {
      float code = 0;
      if (usable) {
        const float weight = load_float(args.weight, args.type, n * args.weight_row_stride + k);
        code = fminf(fmaxf(rintf(weight / scale), -int8::largest_code), int8::largest_code);
      }
      args.codes[n * args.K + k] = static_cast<int8_t>(code);
    }
  });
}

}  // namespace

Status int8_quantize(const Int8QuantizeArgs& args, const Context& context) {
  const Status status = check_row_length(args.K);
  if (status != Status::ok) return status;
  const int64_t G = group_count(args.K, args.group_size);
  return launch("int8_quantize_kernel", int8_quantize_kernel, group_grid(args.N, G), group_block(), 0, context.stream, args, G);
}

}  // namespace torchao_ops::cuda
