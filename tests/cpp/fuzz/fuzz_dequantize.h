// What the fuzz targets of dequantizers share: every kernel gives the reference's numbers.
#pragma once

#include <cmath>
#include <vector>

#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

namespace torchao_ops::test {

template <class FuzzedWeight, class Args>
void run(const std::vector<Kernel<Args>>& kernels, void (*reference)(const Args&), Input& input) {
  const int64_t N = input.below(20), K = input.size();
  const FuzzedWeight weight(N, K, input);
  const FloatType type = input.float_type();
  const Block out(N * K * size_of(type), input), expected(N * K * size_of(type), input);
  reference({weight.view, expected.data(), type});
  const Args args{weight.view, out.data(), type};
  for (const Kernel<Args>& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    for (int64_t i = 0; i < N * K; ++i) {
      const float value = load_float(out.data(), type, i), its_reference = load_float(expected.data(), type, i);
      if (value != its_reference && !(std::isnan(value) && std::isnan(its_reference)))
        fail(kernel.name, "not the reference's number");
    }
  }
}

}  // namespace torchao_ops::test
