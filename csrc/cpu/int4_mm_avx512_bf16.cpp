// int4_mm with bf16 activations and vdpbf16ps, which adds two bf16 products to each fp32 lane. Products are exact and sums round as fp32 ones do, but
// subnormal inputs count as zero. That matters to no ordinary row of x (activations.h) and to no decode, where codes are multiplied and
// scales applied in fp32; prefill recomputes the rows and columns to which it may.
#include "csrc/cpu/int4_codes_bf16.h"
#include "csrc/cpu/int4_decode.h"
#include "csrc/cpu/mm_prefill.h"

namespace torchao_ops {

Status int4_mm_decode_avx512_bf16(const Int4MmArgs& args, const Parallel& parallel) {
  return int4_decode<Int4CodesBf16>(args, parallel);
}

namespace {

// Rows of x that are not ordinary, and columns of weights so small that some of them may be subnormal as bf16.
void recompute_unusual(const Int4MmArgs& args, const Parallel& parallel) {
  const int4::Weight& w = args.weight;
  const int64_t G = group_count(w.K, w.group_size);
  for_each_piece(parallel, args.mm.M, [&](int64_t m, int64_t) {
    const BFloat16* x = static_cast<const BFloat16*>(args.mm.x) + m * args.mm.x_row_stride;
    uint32_t bits = 0;
    for (int64_t k = 0; k < w.K; ++k) bits = (x[k].bits & 0x7fffu) > bits ? x[k].bits & 0x7fffu : bits;
    if (!is_ordinary_row(float_from_bits(bits << 16))) mm_scalar_row(args, m, 0, w.N);
  });
  constexpr int64_t columns = 64;
  for_each_piece(parallel, ceil_div(w.N, columns), [&](int64_t piece, int64_t) {
    const int64_t end = w.N - piece * columns < columns ? w.N : (piece + 1) * columns;
    for (int64_t n = piece * columns; n < end; ++n) {
      bool tiny = false;
      for (int64_t g = 0; g < G; ++g) {
        const float magnitude = float_from_bits(float_bits(w.scale_at(n, g)) & 0x7fffffffu);
        tiny = tiny || (magnitude != 0.0f && magnitude < 7.8886090522101181e-31f);  // 2^-100
      }
      for (int64_t m = 0; tiny && m < args.mm.M; ++m) mm_scalar_row(args, m, n, n + 1);
    }
  });
}

}  // namespace

Status int4_mm_prefill_avx512_bf16(const Int4MmArgs& args, const Parallel& parallel) {
  const Status status = mm_prefill<Bf16Tile, Int4DequantizerBf16>(args.mm, args.weight, parallel);
  if (status == Status::ok) recompute_unusual(args, parallel);
  return status;
}

}  // namespace torchao_ops
