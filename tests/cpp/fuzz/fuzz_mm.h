// What the fuzz targets of products share: every kernel of a product gives the same result for one thread as for three, and no finite result where the
// reference has none, or the other way round.
#pragma once

#include <cmath>
#include <vector>

#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {

// The operands of a product with `terms` terms a result and `columns` results a row: x, bias and y, which it owns.
struct FuzzedActivations {
  FuzzedActivations(int64_t M, int64_t terms, int64_t columns, bool may_have_bias, Input& input)
      : terms(terms),
        columns(columns),
        type(input.float_type()),
        row_stride(terms + input.below(4)),
        bias_type(input.float_type()),
        has_bias(input.byte() % 2 != 0 && may_have_bias),
        x(M == 0 ? 0 : ((M - 1) * row_stride + terms) * size_of(type), input),
        bias(columns * size_of(bias_type), input),
        y(M * columns * size_of(type), input),
        args{x.data(), type, row_stride, has_bias ? bias.data() : nullptr, bias_type, y.data(), M} {}

  int64_t terms, columns;
  FloatType type;
  int64_t row_stride;
  FloatType bias_type;
  bool has_bias;
  Block x, bias, y;
  MmArgs args;
};

// Largest magnitude that a sum or a product takes on its way to y: where it is finite in fp32, so is everything that a kernel may compute.
template <class Weight>
bool may_overflow(const FuzzedActivations& activations, const Weight& w, double code_max) {
  const MmArgs& mm = activations.args;
  double x_max = 0, scale_max = 0, zero_max = code_max;
  for (int64_t m = 0; m < mm.M; ++m)
    for (int64_t k = 0; k < activations.terms; ++k)
      x_max = std::fmax(x_max, std::fabs(load_float(mm.x, mm.x_type, m * mm.x_row_stride + k)));
  for (int64_t n = 0; n < w.N; ++n) {
    for (int64_t k = 0; k < w.K; ++k) {
      const int64_t group = w.group_position(n, k) / w.group_size;
      scale_max = std::fmax(scale_max, std::fabs(w.scale_at(n, group)));
      zero_max = std::fmax(zero_max, std::fabs(w.zero_point_at(n, group)));
    }
  }
  const double largest_y = mm.x_type == FloatType::f16 ? 65504 : 3e38;
  double bias_max = 0;
  for (int64_t n = 0; n < activations.columns && mm.bias != nullptr; ++n)
    bias_max = std::fmax(bias_max, std::fabs(load_float(mm.bias, mm.bias_type, n)));
  return !(x_max * scale_max * zero_max * 2 * static_cast<double>(activations.terms + 1) + bias_max < largest_y / 4 &&
           scale_max * zero_max * 2 < 1e38);
}

template <class Args>
void run(const std::vector<Kernel<Args>>& kernels, void (*reference)(const Args&, double*), const FuzzedActivations& activations,
         const Args& args, double code_max) {
  const int64_t results = args.mm.M * activations.columns;
  std::vector<double> expected(static_cast<size_t>(results));
  reference(args, expected.data());
  const bool compare = !may_overflow(activations, args.weight, code_max);
  for (const Kernel<Args>& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, Parallel{}) != Status::ok) fail(kernel.name, "not ok");
    const std::vector<uint8_t> once = activations.y.copy();
    if (kernel.run(args, std_threads(3)) != Status::ok) fail(kernel.name, "not ok with three threads");
    // NaN has many representations, of which any may come out.
    for (int64_t i = 0; i < results; ++i) {
      const float value = load_float(activations.y.data(), args.mm.x_type, i),
                  before = load_float(once.data(), args.mm.x_type, i);
      if (value != before && !(std::isnan(value) && std::isnan(before))) fail(kernel.name, "three threads give another result");
      if (compare && std::isfinite(value) != std::isfinite(expected[i]))
        fail(kernel.name, "finite where the reference is not, or not where it is");
    }
  }
}

}  // namespace torchao_ops::test
