// enqueue() of csrc/cuda/launch.cuh for kernels that run on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <tuple>

#include "tests/cpp/cuda_host/launch.h"

namespace torchao_ops::cuda {

template <class... Parameters, class... Arguments>
cudaError_t enqueue(void (*kernel)(Parameters...), dim3 grid, dim3 block, int64_t shared_bytes, cudaStream_t /*stream*/,
                    const Arguments&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const Call call{kernel, std::tuple<Parameters...>(Parameters(arguments)...)};
  auto run_thread = [](const void* argument) {
    const Call& c = *static_cast<const Call*>(argument);
    std::apply(c.kernel, c.parameters);  // each thread has parameters of its own
  };
  return cuda_host::launch(grid, block, shared_bytes, run_thread, &call);
}

}  // namespace torchao_ops::cuda
