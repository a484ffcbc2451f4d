// Products whose activations are 8-bit floats: they become fp32 numbers, once, and fp8_mm multiplies them. So whatever makes fp8_mm fast does so here.
#pragma once

#include "csrc/cpu/fp8_mm.h"
#include "csrc/cpu/scratch.h"
#include "csrc/spec/fp8_dequantize.h"
#include "csrc/spec/fp8_scaled_mm.h"

namespace torchao_ops {
namespace {

// Rows of x in memory are this long, so that they are whole vectors.
TORCHAO_OPS_INLINE int64_t padded(int64_t K) { return ceil_div(K, 16) * 16; }

// Numbers to y[begin ...], rounded to y's type.
using Store = void (*)(const float* numbers, int64_t count, void* y, FloatType type, int64_t begin);
[[maybe_unused]] void store_row(const float* numbers, int64_t count, void* y, FloatType type, int64_t begin) {
  for (int64_t i = 0; i < count; ++i) store_float(numbers[i], y, type, begin + i);
}
using Mm = Status (*)(const Fp8MmArgs& args, const Parallel& parallel);

// y = x @ w.T + bias with fp32 x; y and bias are mm's, and y has mm.x_type. What mm_fp32 gives is rounded to it as it would have been there.
TORCHAO_OPS_INLINE Status product_of_numbers(const float* x, int64_t x_row_stride, const MmArgs& mm, const fp8::Weight& w,
                                             Mm mm_fp32, Store store, const Parallel& parallel) {
  Fp8MmArgs args{mm, w};
  args.mm.x = x;
  args.mm.x_type = FloatType::f32;
  args.mm.x_row_stride = x_row_stride;
  if (mm.x_type == FloatType::f32) return mm_fp32(args, parallel);
  Scratch<float> y(mm.M * w.N);
  if (!all_allocated(y)) return Status::out_of_memory;
  args.mm.y = y.get();
  const Status status = mm_fp32(args, parallel);
  if (status != Status::ok) return status;
  for_each_piece(parallel, mm.M, [&](int64_t m, int64_t) { store(y.get() + m * w.N, w.N, mm.y, mm.x_type, m * w.N); });
  return Status::ok;
}

// fp8_dynamic_mm. round_row(mm, K, m, out) gives q * scale of row m of x, or the row itself if it is not quantized.
using RoundRow = void (*)(const MmArgs& mm, int64_t K, int64_t m, float* out);
TORCHAO_OPS_INLINE Status dynamic_product(const Fp8MmArgs& args, RoundRow round_row, Mm mm_fp32, Store store,
                                          const Parallel& parallel) {
  const int64_t K = args.weight.K, stride = padded(K);
  Scratch<float> x(args.mm.M * stride);
  if (!all_allocated(x)) return Status::out_of_memory;
  for_each_piece(parallel, args.mm.M, [&](int64_t m, int64_t) { round_row(args.mm, K, m, x.get() + m * stride); });
  return product_of_numbers(x.get(), stride, args.mm, args.weight, mm_fp32, store, parallel);
}

// fp8_scaled_mm. dequantize gives a.
TORCHAO_OPS_INLINE Status scaled_product(const Fp8ScaledMmArgs& args,
                                         Status (*dequantize)(const Fp8DequantizeArgs&, const Parallel&), Mm mm_fp32, Store store,
                                         const Parallel& parallel) {
  const int64_t M = args.a.N, K = args.a.K;
  Scratch<float> x(M * K);
  if (!all_allocated(x)) return Status::out_of_memory;
  const Status status = dequantize({args.a, x.get(), FloatType::f32}, parallel);
  if (status != Status::ok) return status;
  const MmArgs mm{nullptr, args.y_type, 0, args.bias, args.bias_type, args.y, M};
  return product_of_numbers(x.get(), K, mm, args.b, mm_fp32, store, parallel);
}

}  // namespace
}  // namespace torchao_ops
