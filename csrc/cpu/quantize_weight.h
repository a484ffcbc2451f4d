// What the quantizers of weights share, written once in plain C++ and compiled for each ISA by the file that includes it: fixed-width inner loops
// that the compiler turns into vectors. No reordering and no contraction is allowed, so every ISA writes the same bytes.
#pragma once

#include "csrc/spec/float_types.h"
#include "csrc/spec/formats.h"
#include "csrc/spec/parallel.h"

namespace torchao_ops {
namespace {

constexpr int width = 16;  // elements handled side by side: one AVX-512, two AVX2 or four SSE2 vectors of fp32

// Round half to even for |value| <= 2^22: 1.5 * 2^23 makes fp32's last mantissa bit the unit.
TORCHAO_OPS_INLINE float round_half_even(float value) {
  constexpr float magic = 12582912.0f;
  return (value + magic) - magic;
}

TORCHAO_OPS_INLINE float clamp(float value, float lo, float hi) {
  const float raised = value < lo ? lo : value;
  return raised > hi ? hi : raised;
}

struct Range {
  float lo, hi;
  bool finite;
};

template <class T>
TORCHAO_OPS_INLINE Range range_of(const T* weight, int64_t count) {
  float lo[width] = {}, hi[width] = {};
  uint32_t not_finite[width] = {};
  int64_t k = 0;
  for (; k + width <= count; k += width) {
    for (int i = 0; i < width; ++i) {
      const float w = to_float(weight[k + i]);
      lo[i] = w < lo[i] ? w : lo[i];
      hi[i] = w > hi[i] ? w : hi[i];
      not_finite[i] |= is_finite(w) ? 0u : 1u;
    }
  }
  for (; k < count; ++k) {
    const float w = to_float(weight[k]);
    lo[0] = w < lo[0] ? w : lo[0];
    hi[0] = w > hi[0] ? w : hi[0];
    not_finite[0] |= is_finite(w) ? 0u : 1u;
  }
  for (int i = 1; i < width; ++i) {
    lo[0] = lo[i] < lo[0] ? lo[i] : lo[0];
    hi[0] = hi[i] > hi[0] ? hi[i] : hi[0];
    not_finite[0] |= not_finite[i];
  }
  return {lo[0], hi[0], not_finite[0] == 0};
}

// The rows of a weight in pieces: body(n_begin, n_end, piece) with `piece` in [0, row_pieces(N, parallel)).
TORCHAO_OPS_INLINE int64_t rows_per_piece(int64_t N, const Parallel& parallel) {
  return ceil_div(N, (parallel.threads < 1 ? 1 : parallel.threads) * 8);
}
TORCHAO_OPS_INLINE int64_t row_pieces(int64_t N, const Parallel& parallel) {
  return N == 0 ? 0 : ceil_div(N, rows_per_piece(N, parallel));
}
template <class Body>
TORCHAO_OPS_INLINE void for_each_piece_of_rows(int64_t N, const Parallel& parallel, const Body& body) {
  const int64_t rows = rows_per_piece(N, parallel);
  for_each_piece(parallel, row_pieces(N, parallel), [&](int64_t piece, int64_t) {
    const int64_t begin = piece * rows;
    body(begin, N - begin < rows ? N : begin + rows, piece);
  });
}

}  // namespace
}  // namespace torchao_ops
