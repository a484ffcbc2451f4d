#include "csrc/cuda/int8_quantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

constexpr int warps_per_block = 8;

// A warp takes a group: its largest magnitude, its scale, its codes.
__global__ void __launch_bounds__(32 * warps_per_block) int8_quantize_kernel(Int8QuantizeArgs args, int64_t G) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int64_t n = blockIdx.y; n < args.N; n += gridDim.y) {
    const int64_t first_group = int64_t{blockIdx.x} * warps_per_block + threadIdx.x / 32;
    for (int64_t g = first_group; g < G; g += int64_t{gridDim.x} * warps_per_block) {
      const int64_t begin = g * args.group_size;
      const int64_t end = args.K - begin < args.group_size ? args.K : begin + args.group_size;
      // As bits without the sign, NaN and Inf are above all numbers: one maximum finds them, too.
      uint32_t magnitude_bits = 0;
      for (int64_t k = begin + lane; k < end; k += 32) {
        const uint32_t bits = float_bits(load_float(args.weight, args.type, n * args.weight_row_stride + k)) & 0x7fffffffu;
        magnitude_bits = bits > magnitude_bits ? bits : magnitude_bits;
      }
      magnitude_bits = warp_reduce(magnitude_bits, [](uint32_t a, uint32_t b) { return a > b ? a : b; });
      const float magnitude = float_from_bits(magnitude_bits);
      if (lane == 0) {
        // fp16 has no room for some finite scales: they become Inf, which is made NaN as well.
        store_float(magnitude / int8::largest_code, args.scale, args.type, n * G + g);
        const float stored = load_float(args.scale, args.type, n * G + g);
        if (!is_finite(magnitude) || !is_finite(stored))
          store_float(float_from_bits(0x7fc00000u), args.scale, args.type, n * G + g);
      }
      __syncwarp();  // lane 0 stored what all read
      const float scale = load_float(args.scale, args.type, n * G + g);
      const bool usable = is_finite(scale) && scale != 0;
      for (int64_t k = begin + lane; k < end; k += 32) {
        float code = 0;
        if (usable) {
          const float weight = load_float(args.weight, args.type, n * args.weight_row_stride + k);
          code = fminf(fmaxf(rintf(weight / scale), -int8::largest_code), int8::largest_code);
        }
        args.codes[n * args.K + k] = static_cast<int8_t>(code);
      }
    }
  }
}

}  // namespace

Status int8_quantize(const Int8QuantizeArgs& args, const Context& context) {
  const Status status = check_row_length(args.K);
  if (status != Status::ok) return status;
  const int64_t G = group_count(args.K, args.group_size);
  return launch("int8_quantize_kernel", int8_quantize_kernel, grid_of(ceil_div(G, warps_per_block), args.N),
                dim3(32 * warps_per_block), 0, context.stream, args, G);
}

}  // namespace torchao_ops::cuda
