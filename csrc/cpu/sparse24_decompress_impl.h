// sparse24_decompress, for the file of each ISA.
#pragma once

#include "csrc/cpu/quantize_weight.h"
#include "csrc/cpu/sparse24_decompress.h"
#include "csrc/cpu/sparse24_violation.h"

namespace torchao_ops {
namespace {

// Expand, for each ISA: elements of a row from `columns` at once on, Expand::run(values, bitmask, out) for T of 1, 2 and 4 bytes.
template <class Expand, class T>
TORCHAO_OPS_INLINE void decompress_row(const T* values, const uint8_t* bitmask, int64_t K, T* out) {
  constexpr int64_t columns = Expand::columns;
  int64_t k = 0;
  for (; k + columns <= K; k += columns) Expand::run(values + k / 2, bitmask + k / 8, out + k);
  if (k == K) return;
  T rest_values[columns / 2] = {}, rest[columns];
  uint8_t rest_bitmask[columns / 8] = {};
  for (int64_t i = 0; i < sparse24::value_columns(K - k); ++i) rest_values[i] = values[k / 2 + i];
  for (int64_t i = 0; i < sparse24::bitmask_columns(K - k); ++i) rest_bitmask[i] = bitmask[k / 8 + i];
  Expand::run(rest_values, rest_bitmask, rest);
  for (int64_t i = 0; i < K - k; ++i) out[k + i] = rest[i];
}

template <class Expand, class T>
TORCHAO_OPS_INLINE void decompress_values(const Sparse24DecompressArgs& args, const Parallel& parallel) {
  const sparse24::Weight& w = args.weight;
  Smallest violation;
  for_each_piece_of_rows(w.N, parallel, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t bad = first_violation(w.bitmask_row(n), w.K);
      if (bad >= 0) return violation.note(n * sparse24::quads(w.K) + bad);
      decompress_row<Expand>(static_cast<const T*>(w.values) + n * w.value_row_stride, w.bitmask_row(n), w.K,
                             static_cast<T*>(args.out) + n * w.K);
    }
  });
  *args.violation = violation.or_none();
}

template <class Expand>
TORCHAO_OPS_INLINE Status decompress(const Sparse24DecompressArgs& args, const Parallel& parallel) {
  switch (size_of(args.weight.value_type)) {
    case 4: decompress_values<Expand, uint32_t>(args, parallel); break;
    case 2: decompress_values<Expand, uint16_t>(args, parallel); break;
    default: decompress_values<Expand, uint8_t>(args, parallel); break;
  }
  return Status::ok;
}

}  // namespace
}  // namespace torchao_ops
