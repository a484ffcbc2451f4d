#include "csrc/cuda/sparse24_decompress.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_violation.h"

namespace torchao_ops::cuda {
namespace {

// A thread takes a quad. Bits is an unsigned type of the values' size.
template <class Bits>
__global__ void __launch_bounds__(matrix_threads)
    sparse24_decompress_kernel(sparse24::Weight w, Bits* out, int64_t out_row_stride) {
  for_each_in_matrix(w.N, sparse24::quads(w.K), [&](int64_t n, int64_t quad) {
    const Bits* values = static_cast<const Bits*>(w.values) + n * w.value_row_stride + 2 * quad;
    const int bits = w.bits(n, quad);
    int slot = 0;
    for (int64_t i = 0; i < 4 && 4 * quad + i < w.K; ++i) {
      const bool is_kept = (bits >> i & 1) != 0 && slot < 2;
      out[n * out_row_stride + 4 * quad + i] = is_kept ? values[slot] : Bits{0};
      slot += is_kept ? 1 : 0;
    }
  });
}

}  // namespace

Status sparse24_decompress(const Sparse24DecompressArgs& args, const Context& context) {
  Status status = check_row_length(args.weight.K);
  if (status == Status::ok) status = sparse24_find_violation(args.weight, args.violation, context);
  return status == Status::ok ? sparse24_decompress_rows(args.weight, args.out, args.weight.K, context) : status;
}

Status sparse24_decompress_rows(const sparse24::Weight& w, void* out, int64_t out_row_stride, const Context& context) {
  const auto run = [&](auto bits) {
    using Bits = decltype(bits);
    return launch("sparse24_decompress_kernel", sparse24_decompress_kernel<Bits>, matrix_grid(w.N, sparse24::quads(w.K)),
                  matrix_block(w.N), 0, context.stream, w, static_cast<Bits*>(out), out_row_stride);
  };
  switch (sparse24::size_of(w.value_type)) {
    case 1: return run(uint8_t{});
    case 2: return run(uint16_t{});
    default: return run(uint32_t{});
  }
}

}  // namespace torchao_ops::cuda
