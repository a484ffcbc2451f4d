#include "csrc/cuda/sparse24_violation.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.cuh"

namespace torchao_ops::cuda {
namespace {

// A thread takes an octet.
__global__ void __launch_bounds__(matrix_threads) sparse24_violation_kernel(sparse24::Weight w, int64_t* violation) {
  for_each_in_matrix(w.N, sparse24::bitmask_columns(w.K), [&](int64_t n, int64_t octet) {
    const uint32_t found = quads_with_too_many(bits_of_octet(w.bitmask_row(n), 8 * octet, w.K));
    if (found != 0) note_violation(violation, n * sparse24::quads(w.K) + 2 * octet + ((found & 1) != 0 ? 0 : 1));
  });
}

}  // namespace

Status sparse24_no_violation(int64_t* violation, const Context& context) {
  const cudaError_t error = cudaMemsetAsync(violation, 0xff, sizeof(*violation), context.stream);
  return error == cudaSuccess ? Status::ok : set_last_error(Status::cuda_failed, "cudaMemsetAsync", cudaGetErrorString(error));
}

Status sparse24_find_violation(const sparse24::Weight& weight, int64_t* violation, const Context& context) {
  if (violation == nullptr) return Status::ok;
  const Status status = sparse24_no_violation(violation, context);
  if (status != Status::ok) return status;
  return launch("sparse24_violation_kernel", sparse24_violation_kernel,
                matrix_grid(weight.N, sparse24::bitmask_columns(weight.K)), matrix_block(weight.N), 0, context.stream, weight,
                violation);
}

}  // namespace torchao_ops::cuda
