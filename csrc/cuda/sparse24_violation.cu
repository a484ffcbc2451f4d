#include "csrc/cuda/sparse24_violation.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/sparse24_codes.cuh"
#include "csrc/cuda/sparse24_violation.cuh"

namespace torchao_ops::cuda {
namespace {

// A thread takes an octet. Row n's is noted in violations[n * row_stride].
__global__ void __launch_bounds__(matrix_threads)
    sparse24_violation_kernel(sparse24::Weight w, int64_t* violations, int64_t row_stride) {
  for_each_in_matrix(w.N, sparse24::bitmask_columns(w.K), [&](int64_t n, int64_t octet) {
    const uint32_t found = quads_with_too_many(bits_of_octet(w.bitmask_row(n), 8 * octet, w.K));
    if (found != 0)
      note_violation(violations + n * row_stride, n * sparse24::quads(w.K) + 2 * octet + ((found & 1) != 0 ? 0 : 1));
  });
}

Status find(const sparse24::Weight& weight, int64_t* violations, int64_t row_stride, const Context& context) {
  return launch("sparse24_violation_kernel", sparse24_violation_kernel,
                matrix_grid(weight.N, sparse24::bitmask_columns(weight.K)), matrix_block(weight.N), 0, context.stream, weight,
                violations, row_stride);
}

Status set_none(int64_t* violations, int64_t count, const Context& context) {
  const cudaError_t error = cudaMemsetAsync(violations, 0xff, static_cast<size_t>(count) * sizeof(*violations), context.stream);
  return error == cudaSuccess ? Status::ok : set_last_error(Status::cuda_failed, "cudaMemsetAsync", cudaGetErrorString(error));
}

}  // namespace

Status sparse24_no_violation(int64_t* violation, const Context& context) { return set_none(violation, 1, context); }

Status sparse24_find_violation(const sparse24::Weight& weight, int64_t* violation, const Context& context) {
  if (violation == nullptr) return Status::ok;
  const Status status = set_none(violation, 1, context);
  return status == Status::ok ? find(weight, violation, 0, context) : status;
}

Status sparse24_find_violations(const sparse24::Weight& weight, int64_t* violations, const Context& context) {
  const Status status = set_none(violations, weight.N, context);
  return status == Status::ok ? find(weight, violations, 1, context) : status;
}

}  // namespace torchao_ops::cuda
