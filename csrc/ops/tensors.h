// From tensors to the plain structs that kernels take.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "csrc/ops/check.h"
#include "csrc/spec/mm.h"
#include "csrc/spec/parallel.h"

namespace torchao_ops {

// The tensor itself if the elements of its last dimension are adjacent, else a contiguous copy: kernels take any row stride but no element
// stride. For a tensor of rank 1 or 2.
Tensor with_adjacent_elements(const Tensor& tensor);

// A weight [N, columns] with adjacent elements. On CUDA, the alignment of its rows decides between kernels that add in another order: there it
// is a copy unless its rows are as aligned as a copy's, so that the result has the same bits.
Tensor as_weight(const Tensor& weight);

// Distance in elements between rows of a rank-2 tensor.
int64_t row_stride(const Tensor& tensor);

// x [..., K] as a matrix [M, K] with adjacent elements (a copy where its strides allow no view), and y [..., N] for it. On CUDA it is
// laid out as a copy would be, because cuBLASLt takes no rows that overlap and chooses its algorithm, and so the bits, by strides and addresses.
struct Activations {
  Tensor x;
  FloatType type;
  int64_t M, K, row_stride;
};
Activations as_matrix(const Tensor& x, FloatType type);
// bias [N] with adjacent elements and, on CUDA, at an address like a copy's.
Tensor as_bias(const Tensor& bias);
Tensor empty_result(const Tensor& x, int64_t N);

// What kernels need of x, bias and y. The tensors must outlive the struct.
MmArgs mm_args(const Activations& x, const std::optional<Tensor>& bias, const Tensor& y);

// torch's thread pool, of which `work` elements or multiply-adds use only as many threads as it pays to wake. In a process forked from one whose pool was running, that pool's threads do not exist and waiting for
// them would hang: there, the calling thread does all the work.
Parallel torch_threads(int64_t work);

}  // namespace torchao_ops
