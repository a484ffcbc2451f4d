// Running what csrc/cuda computes: on the tensor's device, on torch's current stream, in workspace from torch's allocator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "csrc/cuda/device.h"
#include "csrc/ops/check.h"

namespace torchao_ops {

// Throws where the tensor is on a CUDA device and this library was built without CUDA.
void check_has_kernels(const char* op, const char* argument, const Tensor& tensor);

// After Status::cuda_failed or Status::cublaslt_failed: "cudaSetDevice says: invalid device ordinal".
std::string cuda_error_text();

#ifdef TORCHAO_OPS_CUDA

// torch's current stream of a device.
Status current_cuda_stream(int device, CUstream_st** stream);
// Uninitialized memory on the tensor's device, for use on its current stream: it may be freed as soon as the work on it is enqueued.
Tensor cuda_workspace(const Tensor& tensor, int64_t bytes);

// Enqueues run(context) on the device and the current stream of `tensor`, with workspace_bytes(device) of workspace.
template <class WorkspaceBytes, class Run>
Status run_on_cuda(const Tensor& tensor, const WorkspaceBytes& workspace_bytes, const Run& run) {
  const int index = tensor.get_device_index();
  const cuda::DeviceGuard guard(index);
  cuda::Context context{};
  Status status = guard.status();
  if (status == Status::ok) status = cuda::get_device(index, &context.device);
  if (status == Status::ok) status = current_cuda_stream(index, &context.stream);
  if (status != Status::ok) return status;
  const int64_t bytes = workspace_bytes(context.device);
  std::optional<Tensor> workspace;
  if (bytes > 0) {
    workspace = cuda_workspace(tensor, bytes);
    context.workspace = workspace->mutable_data_ptr();
  }
  return run(context);
}

#else

// Not reached, as check_has_kernels throws; in a build without CUDA, `run` names functions that do not exist.
template <class WorkspaceBytes, class Run>
Status run_on_cuda(const Tensor&, const WorkspaceBytes&, const Run&) {
  return Status::cuda_failed;
}

#endif

// The same for what needs no workspace.
template <class Run>
Status run_on_cuda(const Tensor& tensor, const Run& run) {
  return run_on_cuda(
      tensor, [](const cuda::Device&) { return int64_t{0}; }, run);
}

}  // namespace torchao_ops
