// Libraries that are looked up at run time, and what their calls need while a CUDA graph is captured.
#pragma once

#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace torchao_ops::cuda {

// Whether the library has the function; *function is where.
template <class Function>
bool find_function(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// While a CUDA graph is being captured, CUDA refuses what might wait or allocate, unless the thread declares that the captured work does not
// depend on it. Libraries allocate when their context is created, and may ask the driver about the device when they choose an algorithm: neither
// is part of the graph.
class RelaxedCapture {
 public:
  RelaxedCapture() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  ~RelaxedCapture() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;  // the thread's own, while this lives
};

}  // namespace torchao_ops::cuda
