#include "csrc/ops/tensors.h"

#include <pthread.h>

#include "csrc/cuda/device.h"

namespace torchao_ops {
namespace {

bool forked = false;

uintptr_t address(const Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()); }

Tensor copy_of(const Tensor& tensor) {
  Tensor copy = torch::stable::new_empty(tensor, tensor.sizes());
  torch::stable::copy_(copy, tensor);
  return copy;
}

// On CUDA: torch aligns new tensors to this and more, and cuBLASLt distinguishes no more than this.
bool is_aligned_like_a_copy(const Tensor& tensor) { return address(tensor) % cuda::workspace_alignment == 0; }

void run_in_torch_threads(int64_t threads, void (*worker)(void*), void* context) {
  // A grain of 1 lets torch make `threads` ranges of one; inside another parallel region it makes one range of all.
  torch::stable::parallel_for(0, threads, 1, [=](int64_t, int64_t) { worker(context); });
}

}  // namespace

Tensor with_adjacent_elements(const Tensor& tensor) {
  const int64_t rank = tensor.dim();
  const int64_t columns = tensor.size(rank - 1);
  const bool adjacent = columns <= 1 || tensor.stride(rank - 1) == 1;
  return adjacent ? tensor : torch::stable::contiguous(tensor);
}

Tensor as_weight(const Tensor& weight) {
  Tensor rows = with_adjacent_elements(weight);
  if (!weight.is_cuda()) return rows;
  constexpr int64_t bytes = 4;  // that the tensor-core kernels ask for (supports_mm_mma)
  const int64_t element = static_cast<int64_t>(rows.element_size());
  const bool one_row = rows.size(0) <= 1;
  const bool aligned = address(rows) % bytes == 0 && (one_row || row_stride(rows) * element % bytes == 0);
  const bool copy_is_aligned = one_row || rows.size(1) * element % bytes == 0;
  return aligned == copy_is_aligned ? rows : copy_of(rows);
}

int64_t row_stride(const Tensor& tensor) { return tensor.stride(0); }

Activations as_matrix(const Tensor& x, FloatType type) {
  const int64_t K = x.size(x.dim() - 1);
  int64_t M = 1;
  for (int64_t i = 0; i + 1 < x.dim(); ++i) M *= x.size(i);
  Tensor matrix = with_adjacent_elements(x.dim() == 2 ? x : torch::stable::reshape(x, {M, K}));
  if (x.is_cuda() && M > 1 && !(row_stride(matrix) == K && is_aligned_like_a_copy(matrix))) matrix = copy_of(matrix);
  const int64_t stride = row_stride(matrix);
  return {std::move(matrix), type, M, K, stride};
}

Tensor as_bias(const Tensor& bias) {
  const Tensor row = with_adjacent_elements(bias);
  return bias.is_cuda() && !is_aligned_like_a_copy(row) ? copy_of(row) : row;
}

Tensor empty_result(const Tensor& x, int64_t N) {
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  sizes.back() = N;
  return torch::stable::new_empty(x, sizes);
}

MmArgs mm_args(const Activations& x, const std::optional<Tensor>& bias, const Tensor& y) {
  MmArgs args{};
  args.x = x.x.const_data_ptr();
  args.x_type = x.type;
  args.x_row_stride = x.row_stride;
  args.bias = bias ? bias->const_data_ptr() : nullptr;
  args.bias_type = bias ? check_float("", "", bias->scalar_type()) : FloatType::f32;
  args.y = y.mutable_data_ptr();
  args.M = x.M;
  return args;
}

Parallel torch_threads(int64_t work) {
  // Waking a thread takes about 5 us, in which one does some 10^5 multiply-adds (18 GMAC/s in int4_mm at M = 1 on Zen 3).
  constexpr int64_t work_per_thread = int64_t{1} << 17;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
  static_cast<void>(registered);
  if (forked || work < 2 * work_per_thread) return {};
  const int64_t threads = torch::stable::get_num_threads(), useful = work / work_per_thread;
  return {threads < useful ? threads : useful, run_in_torch_threads};
}

}  // namespace torchao_ops
