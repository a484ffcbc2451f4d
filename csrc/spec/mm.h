// What every y = x @ w.T + bias has in common, whatever the format of w.
#pragma once

#include <cstdint>

#include "csrc/spec/float_types.h"

namespace torchao_ops {

struct MmArgs {
  const void* x;  // [M, K]
  FloatType x_type;
  int64_t x_row_stride;  // elements; the elements of a row are adjacent
  const void* bias;      // [N], or null
  FloatType bias_type;
  void* y;    // [M, N] of x_type, rows adjacent; overlaps no input
  int64_t M;  // rows of x; N and K are the weight's
};

}  // namespace torchao_ops
