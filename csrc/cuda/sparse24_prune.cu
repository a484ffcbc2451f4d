#include "csrc/cuda/sparse24_prune.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_quads.cuh"

namespace torchao_ops::cuda {
namespace {

// A thread takes a quad.
template <class T>
__global__ void __launch_bounds__(matrix_threads) sparse24_prune_kernel(Sparse24PruneArgs args) {
  for_each_in_matrix(args.N, sparse24::quads(args.K), [&](int64_t n, int64_t i) {
    const int64_t k = 4 * i;
    const Quad<T> quad(static_cast<const T*>(args.weight) + n * args.weight_row_stride, k, args.K);
    const uint32_t bits = quad.largest_two();
    for (int j = 0; j < quad.count; ++j) args.mask[n * args.K + k + j] = static_cast<uint8_t>(bits >> j & 1);
  });
}

}  // namespace

Status sparse24_prune(const Sparse24PruneArgs& args, const Context& context) {
  const Status status = check_row_length(args.K);
  if (status != Status::ok) return status;
  return with_value_type(args.type, [&](auto type) {
    return launch("sparse24_prune_kernel", sparse24_prune_kernel<decltype(type)>, matrix_grid(args.N, sparse24::quads(args.K)),
                  matrix_block(args.N), 0, context.stream, args);
  });
}

}  // namespace torchao_ops::cuda
