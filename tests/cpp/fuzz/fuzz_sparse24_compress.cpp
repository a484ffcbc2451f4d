// Any sizes, types, masks and bit patterns through every sparse24_prune and sparse24_compress kernel: the reference's bytes, no access outside the
// operands.
#include "csrc/spec/sparse24_compress.h"
#include "csrc/spec/sparse24_prune.h"
#include "tests/cpp/fuzz/fuzz.h"
#include "tests/cpp/kernels.h"
#include "tests/cpp/threads.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace torchao_ops;
  using namespace torchao_ops::test;
  Input input(data, size);
  const int64_t N = input.below(20), K = input.size(), padding = input.below(4);
  const auto type = static_cast<sparse24::ValueType>(input.byte() % 5);
  const int64_t rows = N == 0 ? 0 : (N - 1) * (K + padding) + K;
  const Block weight(rows * size_of(type), input), mask(rows, input), pruned(N * K, input);
  const Block values(N * sparse24::value_columns(K) * size_of(type), input), bitmask(N * sparse24::bitmask_columns(K), input);
  // A mask of the input's bytes keeps too many nearly always: what pruning keeps, or a part of it, is tried as well.
  const int kind = input.byte() % 3;

  Sparse24PruneArgs prune{weight.data(), type, K + padding, N, K, pruned.data()};
  sparse24_prune_ref(prune);
  const std::vector<uint8_t> expected_mask = pruned.copy();
  static const std::vector<Sparse24PruneKernel> prune_kernels = sparse24_prune_kernels();
  for (const Sparse24PruneKernel& kernel : prune_kernels) {
    if (!takes(kernel, prune)) continue;
    if (kernel.run(prune, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    if (pruned.copy() != expected_mask) fail(kernel.name, "not the reference's mask");
  }
  for (int64_t n = 0; kind == 2 && n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) mask.data()[n * (K + padding) + k] &= static_cast<uint8_t>(-pruned.data()[n * K + k]);
  }

  int64_t violation = -2;
  const Sparse24CompressArgs args{weight.data(),  type,      K + padding, kind == 0 ? nullptr : mask.data(),
                                  K + padding,    N,         K,           values.data(),
                                  bitmask.data(), &violation};
  sparse24_compress_ref(args);
  const int64_t expected_violation = violation;
  const std::vector<uint8_t> expected_values = values.copy(), expected_bitmask = bitmask.copy();
  static const std::vector<Sparse24CompressKernel> kernels = sparse24_compress_kernels();
  for (const Sparse24CompressKernel& kernel : kernels) {
    if (!takes(kernel, args)) continue;
    if (kernel.run(args, std_threads(1 + input.below(3))) != Status::ok) fail(kernel.name, "not ok");
    if (violation != expected_violation) fail(kernel.name, "not the reference's violation");
    if (violation >= 0) continue;
    if (values.copy() != expected_values) fail(kernel.name, "not the reference's values");
    if (bitmask.copy() != expected_bitmask) fail(kernel.name, "not the reference's bitmask");
  }
  return 0;
}
