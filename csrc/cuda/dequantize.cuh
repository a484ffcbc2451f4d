// Parts of quantized weights to fp32, fp16 or bf16.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/matrix_part.h"

namespace torchao_ops::cuda {

// matrix: [part.rows, part.columns] adjacent. A thread makes 8 elements of a row: 4 or 8 bytes of codes become 16 or 32 bytes that are stored at once
// where they are aligned. part.k is a multiple of 8.
template <class Format, class T>
__global__ void __launch_bounds__(matrix_threads, 1) dequantize_kernel(typename Format::Weight w, MatrixPart part, T* matrix) {
  for_each_in_matrix(part.rows, (part.columns + 7) / 8, [&](int64_t row, int64_t octet) {
    const int64_t n = part.n + row, k = part.k + 8 * octet;
    float codes[8];
    Format::operands(w, n, k, codes);
    int64_t group = Format::group_at(w, n, k);
    const int64_t left_in_group = w.group_size - (w.group_position(n, k) - group * w.group_size);
    int next_group_at = left_in_group < 8 ? static_cast<int>(left_in_group) : 8;
    float scale = Format::scale(w, n, group), zero_point = w.zero_point_at(n, group);
    const int count = part.columns - 8 * octet < 8 ? static_cast<int>(part.columns - 8 * octet) : 8;
    alignas(16) T elements[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i == next_group_at && i < count) {
        ++group;
        next_group_at += static_cast<int>(w.group_size);  // one that does not fit an int ends beyond the octet
        scale = Format::scale(w, n, group);
        zero_point = w.zero_point_at(n, group);
      }
      elements[i] = round_to<T>((codes[i] + Format::operand_zero - zero_point) * scale);
    }
    T* out = matrix + row * part.columns + 8 * octet;
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
Status run_dequantize(const typename Format::Weight& weight, const MatrixPart& part, void* out, FloatType type,
                      const Context& context) {
  const Status status = Format::check_size(weight);
  if (status != Status::ok) return status;
  return with_float_type(type, [&](auto element) {
    using T = decltype(element);
    return launch("dequantize_kernel", dequantize_kernel<Format, T>, matrix_grid(part.rows, ceil_div(part.columns, 8)),
                  matrix_block(part.rows), 0, context.stream, weight, part, static_cast<T*>(out));
  });
}

}  // namespace torchao_ops::cuda
