#include "csrc/cuda/int4_quantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/groups.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/warp.cuh"

namespace torchao_ops::cuda {
namespace {

// A warp finds the scale and the zero point of a group. The same comparisons as in csrc/spec/int4_quantize_ref.cpp, so that the bits are the same
// (the smaller of 0.0 and -0.0 is the first).
__global__ void __launch_bounds__(32 * groups_per_block) int4_group_parameters_kernel(Int4QuantizeArgs args, int64_t G) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for_each_group(args.N, args.K, args.group_size, G, [&](int64_t i, int64_t n, int64_t begin, int64_t end) {
    float lo = 0, hi = 0;
    int finite = 1;
    for (int64_t k = begin + lane; k < end; k += 32) {
      const float weight = load_float(args.weight, args.type, n * args.weight_row_stride + k);
      finite &= is_finite(weight);
      lo = weight < lo ? weight : lo;
      hi = weight > hi ? weight : hi;
    }
    lo = warp_reduce(lo, [](float a, float b) { return b < a ? b : a; });
    hi = warp_reduce(hi, [](float a, float b) { return b > a ? b : a; });
    finite = warp_reduce(finite, [](int a, int b) { return a & b; });
    if (lane != 0) return;
    const float exact_scale = args.symmetric ? (-lo > hi ? -lo : hi) / 7.0f : (hi - lo) / 15.0f;
    const float scale = store_scale(exact_scale, finite != 0, args.scale, args.type, i);
    float zero_point = int4::symmetric_zero_point;
    if (!args.symmetric) {
      zero_point = is_finite(scale) && scale != 0 ? fminf(fmaxf(rintf((0.0f - lo) / scale), 0.0f), 15.0f) : 0.0f;
    }
    store_float(zero_point, args.zero_point, args.type, i);
  });
}

// A thread makes a byte, from the scale and zero point that were stored. Its two codes may lie in two groups.
__global__ void __launch_bounds__(matrix_threads) int4_pack_kernel(Int4QuantizeArgs args, int64_t G) {
  const int64_t columns = int4::packed_columns(args.K);
  for_each_in_matrix(args.N, columns, [&](int64_t n, int64_t column) {
    uint32_t byte = 0;
    for (int i = 0; i < 2; ++i) {
      const int64_t k = 2 * column + i;
      if (k == args.K) continue;
      const int64_t g = n * G + group_of(k, args.group_size);
      const float scale = load_float(args.scale, args.type, g), zero_point = load_float(args.zero_point, args.type, g);
      float code = zero_point;
      if (is_finite(scale) && scale != 0) {
        const float weight = load_float(args.weight, args.type, n * args.weight_row_stride + k);
        code = fminf(fmaxf(rintf(weight / scale) + zero_point, 0.0f), 15.0f);
      }
      byte |= static_cast<uint32_t>(code) << 4 * i;
    }
    args.packed[n * columns + column] = static_cast<uint8_t>(byte);
  });
}

}  // namespace

Status int4_quantize(const Int4QuantizeArgs& args, const Context& context) {
  Status status = check_row_length(args.K);
  if (status != Status::ok) return status;
  const int64_t G = group_count(args.K, args.group_size);
  status = launch("int4_group_parameters_kernel", int4_group_parameters_kernel, group_grid(args.N, G), group_block(), 0,
                  context.stream, args, G);
  if (status != Status::ok) return status;
  return launch("int4_pack_kernel", int4_pack_kernel, matrix_grid(args.N, int4::packed_columns(args.K)), matrix_block(args.N), 0,
                context.stream, args, G);
}

}  // namespace torchao_ops::cuda
