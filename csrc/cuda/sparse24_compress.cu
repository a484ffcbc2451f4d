#include "csrc/cuda/sparse24_compress.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_quads.cuh"
#include "csrc/cuda/sparse24_violation.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

// Keeps what is marked of a quad, and zeros in the first free places to make two. Returns the bits.
template <class T>
__device__ __forceinline__ uint32_t compress_quad(const Quad<T>& quad, uint32_t marked, T* values) {
  const int free = 2 - __popc(marked);  // below 0 in a violation, whose results mean nothing
  uint32_t bits = marked;
  int added = 0, slot = 0;
  T first{}, second{};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const bool is_marked = (marked >> i & 1) != 0;
    if (i >= quad.count || (!is_marked && added >= free)) continue;
    const T element = is_marked ? quad.elements[i] : T{};
    bits |= 1u << i;
    added += is_marked ? 0 : 1;
    if (slot == 0) first = element;
    if (slot == 1) second = element;
    ++slot;
  }
  values[0] = first;
  values[1] = second;
  return bits;
}

// A thread takes an octet.
template <class T>
__global__ void __launch_bounds__(matrix_threads) sparse24_compress_kernel(Sparse24CompressArgs args) {
  for_each_in_matrix(args.N, sparse24::bitmask_columns(args.K), [&](int64_t n, int64_t octet) {
    uint32_t bits = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = 2 * octet + half, k = 4 * i;
      if (k >= args.K) continue;
      const Quad<T> quad(static_cast<const T*>(args.weight) + n * args.weight_row_stride, k, args.K);
      uint32_t marked = 0;
      bool is_violation = false;
      if (args.mask == nullptr) {
        marked = quad.largest_two();
#pragma unroll
        for (int j = 0; j < 4; ++j) is_violation = is_violation || ((marked >> j & 1) == 0 && quad.magnitudes[j] != 0);
      } else {
        for (int j = 0; j < quad.count; ++j) marked |= (args.mask[n * args.mask_row_stride + k + j] != 0 ? 1u : 0u) << j;
        is_violation = __popc(marked) > 2;
      }
      if (is_violation) note_violation(args.violation, n * sparse24::quads(args.K) + i);
      T* const values = static_cast<T*>(args.values) + n * sparse24::value_columns(args.K) + 2 * i;
      bits |= compress_quad(quad, marked, values) << 4 * half;
    }
    args.bitmask[n * sparse24::bitmask_columns(args.K) + octet] = static_cast<uint8_t>(bits);
  });
}

}  // namespace

Status sparse24_compress(const Sparse24CompressArgs& args, const Context& context) {
  Status status = check_row_length(args.K);
  if (status == Status::ok) status = sparse24_no_violation(args.violation, context);
  if (status != Status::ok) return status;
  return with_value_type(args.type, [&](auto type) {
    return launch("sparse24_compress_kernel", sparse24_compress_kernel<decltype(type)>,
                  matrix_grid(args.N, sparse24::bitmask_columns(args.K)), matrix_block(args.N), 0, context.stream, args);
  });
}

}  // namespace torchao_ops::cuda
