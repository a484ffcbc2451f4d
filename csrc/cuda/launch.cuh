// Starts kernels: the only place that does, so that the same source runs on the host (tests/cpp/cuda_host), too.
#pragma once

#include <cuda_runtime.h>

#include "csrc/cuda/device.h"

#ifdef TORCHAO_OPS_CUDA_HOST
#include "tests/cpp/cuda_host/launch_host.h"  // enqueue() that runs the threads as fibers
#else
namespace torchao_ops::cuda {

// Adds a kernel with `shared_bytes` of dynamic shared memory to a stream. The arguments are converted to the kernel's parameters.
template <class... Parameters, class... Arguments>
cudaError_t enqueue(void (*kernel)(Parameters...), dim3 grid, dim3 block, int64_t shared_bytes, cudaStream_t stream,
                    const Arguments&... arguments) {
  constexpr int64_t default_limit = 48 * 1024;  // more has to be asked for (CUDA programming guide, 7.0 and newer)
  if (shared_bytes > default_limit) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

}  // namespace torchao_ops::cuda
#endif

namespace torchao_ops::cuda {

// The same as a Status, with the name of the kernel for the message. A grid without blocks, which CUDA refuses, is nothing to do.
template <class... Parameters, class... Arguments>
Status launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, int64_t shared_bytes, cudaStream_t stream,
              const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return Status::ok;
  const cudaError_t error = enqueue(kernel, grid, block, shared_bytes, stream, arguments...);
  return error == cudaSuccess ? Status::ok : set_last_error(Status::cuda_failed, name, cudaGetErrorString(error));
}

}  // namespace torchao_ops::cuda
