// A part of a matrix.
#pragma once

#include <cstdint>

namespace torchao_ops::cuda {

// Rows [n, n + rows), and of each the elements [k, k + columns).
struct MatrixPart {
  int64_t n, rows, k, columns;
};

}  // namespace torchao_ops::cuda
