#include "csrc/cuda/nf4_quantize_absmax.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/groups.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/ptx.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

// The numbers of the codes, and the midpoints between them.
struct Nf4AbsmaxCode {
  float numbers[256], midpoints[255];
};
constexpr Nf4AbsmaxCode make_absmax_code() {
  Nf4AbsmaxCode made{};
  for (int c = 0; c < 256; ++c) made.numbers[c] = nf4::absmax_value(c);
  for (int c = 0; c < 255; ++c) made.midpoints[c] = 0.5f * (made.numbers[c] + made.numbers[c + 1]);
  return made;
}
__device__ const Nf4AbsmaxCode nf4_absmax_code = make_absmax_code();

// The mean, by one block: a thread adds each of its parts, whose order the contract fixes.
__global__ void __launch_bounds__(nf4::mean_parts) nf4_absmax_mean_kernel(Nf4QuantizeAbsmaxArgs args) {
  TORCHAO_OPS_SHARED_ARRAY(double, parts, [nf4::mean_parts]);
  const int j = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (int64_t i = j; i < args.count; i += nf4::mean_parts) sum += static_cast<double>(load_float(args.absmax, args.type, i));
  parts[j] = sum;
  for (int half = nf4::mean_parts / 2; half >= 1; half /= 2) {
    __syncthreads();
    if (j < half) parts[j] += parts[j + half];
  }
  if (j < 256) args.absmax_code[j] = nf4_absmax_code.numbers[j];
  if (j != 0) return;
  const float mean = args.count == 0 ? 0.0f : static_cast<float>(parts[0] / static_cast<double>(args.count));
  *args.offset = is_finite(mean) ? mean : quiet_nan();
}

// The number of midpoints below the grid point that is nearest to v, by halving.
__device__ __forceinline__ uint8_t nearest_code(float v) {
  const float clamped = v > -1.0f ? fminf(v, 1.0f) : -1.0f;  // -1 for NaN: 0 * Inf
  const float position = floorf(__fmaf_rn((clamped + 1.0f) * 0.5f, 65535.0f, 0.5f));
  const float p = -1.0f + 2.0f * position / 65535.0f;
  int code = 0;
#pragma unroll
  for (int step = 128; step > 0; step /= 2) code += nf4_absmax_code.midpoints[code + step - 1] < p ? step : 0;
  return static_cast<uint8_t>(code);
}

// A warp takes a block: its largest difference from the mean, then its codes.
__global__ void __launch_bounds__(32 * groups_per_block) nf4_quantize_absmax_kernel(Nf4QuantizeAbsmaxArgs args, int64_t blocks) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float offset = *args.offset;
  const bool usable = is_finite(offset);
  for_each_group(1, args.count, args.nested_block_size, blocks, [&](int64_t block, int64_t, int64_t begin, int64_t end) {
    const auto difference = [&](int64_t i) { return usable ? load_float(args.absmax, args.type, i) - offset : 0.0f; };
    uint32_t bits = 0;
    for (int64_t i = begin + lane; i < end; i += 32) bits = larger(bits, magnitude_bits(difference(i)));
    const float largest = float_from_bits(warp_reduce(bits, larger));
    const bool finite = is_finite(largest), coded = finite && largest != 0;
    const float factor = 1.0f / (coded ? largest : 1.0f);
    for (int64_t i = begin + lane; i < end; i += 32) args.codes[i] = coded ? nearest_code(difference(i) * factor) : 0;
    if (lane == 0) args.nested_absmax[block] = finite ? largest : quiet_nan();
  });
}

}  // namespace

Status nf4_quantize_absmax(const Nf4QuantizeAbsmaxArgs& args, const Context& context) {
  const int64_t blocks = ceil_div(args.count, args.nested_block_size);
  const Status status =
      launch("nf4_absmax_mean_kernel", nf4_absmax_mean_kernel, dim3(1), dim3(nf4::mean_parts), 0, context.stream, args);
  if (status != Status::ok) return status;
  return launch("nf4_quantize_absmax_kernel", nf4_quantize_absmax_kernel, group_grid(1, blocks), group_block(), 0, context.stream,
                args, blocks);
}

}  // namespace torchao_ops::cuda
