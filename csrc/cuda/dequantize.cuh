// Quantized weights to fp32, fp16 or bf16.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"

namespace torchao_ops::cuda {

// out: [N, K] adjacent. A thread makes 8 elements of a row: 4 or 8 bytes of codes become 16 or 32 bytes that are stored at once where they are
// aligned.
template <class Format, class T>
__global__ void __launch_bounds__(matrix_block_columns* matrix_block_rows)
    dequantize_kernel(typename Format::Weight w, T* matrix) {
  for_each_in_matrix(w.N, (w.K + 7) / 8, [&](int64_t n, int64_t octet) {
    const int64_t k = 8 * octet;
    float codes[8];
    Format::operands(w, Format::bytes(w) + n * Format::row_stride(w), k, codes);
    int64_t group = group_of(k, w.group_size);
    const int64_t left_in_group = w.group_size - (k - group * w.group_size);
    int next_group_at = left_in_group < 8 ? static_cast<int>(left_in_group) : 8;
    float scale = w.scale_at(n, group), zero_point = w.zero_point_at(n, group);
    const int count = w.K - k < 8 ? static_cast<int>(w.K - k) : 8;
    alignas(16) T elements[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i == next_group_at && i < count) {
        ++group;
        next_group_at += static_cast<int>(w.group_size);  // one that does not fit an int ends beyond the octet
        scale = w.scale_at(n, group);
        zero_point = w.zero_point_at(n, group);
      }
      elements[i] = round_to<T>((codes[i] + Format::operand_zero - zero_point) * scale);
    }
    T* out = matrix + n * w.K + k;
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

template <class Format>
Status run_dequantize(const typename Format::Weight& weight, void* out, FloatType type, const Context& context) {
  const Status status = check_row_length(weight.K);
  if (status != Status::ok) return status;
  return with_float_type(type, [&](auto element) {
    using T = decltype(element);
    return launch("dequantize_kernel", dequantize_kernel<Format, T>, matrix_grid(weight.N, ceil_div(weight.K, 8)), matrix_block(),
                  0, context.stream, weight, static_cast<T*>(out));
  });
}

}  // namespace torchao_ops::cuda
