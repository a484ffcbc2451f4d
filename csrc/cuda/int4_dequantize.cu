#include "csrc/cuda/int4_dequantize.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"

namespace torchao_ops::cuda {
namespace {

// A thread makes 8 elements of a row: 4 bytes of codes become 16 or 32 bytes that are stored at once where they are aligned.
template <class T>
__global__ void __launch_bounds__(matrix_block_columns* matrix_block_rows) int4_dequantize_kernel(Int4DequantizeArgs args) {
  const int4::Weight& w = args.weight;
  for_each_in_matrix(w.N, ceil_div(w.K, 8), [&](int64_t n, int64_t octet) {
    const int64_t k = 8 * octet;
    const uint32_t codes = load_int4_octet(w.packed + n * w.packed_row_stride, k, w.K);
    int64_t group = group_of(k, w.group_size), next_group_at = group * w.group_size + w.group_size;
    float scale = w.scale_at(n, group), zero_point = w.zero_point_at(n, group);
    const int count = w.K - k < 8 ? static_cast<int>(w.K - k) : 8;
    alignas(16) T elements[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (k + i == next_group_at && i < count) {
        ++group;
        next_group_at += w.group_size;
        scale = w.scale_at(n, group);
        zero_point = w.zero_point_at(n, group);
      }
      elements[i] = round_to<T>((static_cast<float>(codes >> 4 * i & 15) - zero_point) * scale);
    }
    T* out = static_cast<T*>(args.out) + n * w.K + k;
    if (count == 8 && reinterpret_cast<uintptr_t>(out) % 16 == 0) {
#pragma unroll
      for (int i = 0; i < static_cast<int>(sizeof(elements) / 16); ++i) {
        reinterpret_cast<uint4*>(out)[i] = reinterpret_cast<const uint4*>(elements)[i];
      }
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        if (i < count) out[i] = elements[i];
      }
    }
  });
}

}  // namespace

Status int4_dequantize(const Int4DequantizeArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  if (status != Status::ok) return status;
  return with_float_type(args.out_type, [&](auto type) {
    return launch("int4_dequantize_kernel", int4_dequantize_kernel<decltype(type)>,
                  matrix_grid(args.weight.N, ceil_div(args.weight.K, 8)), matrix_block(), 0, context.stream, args);
  });
}

}  // namespace torchao_ops::cuda
