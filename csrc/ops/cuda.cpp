#include "csrc/ops/cuda.h"

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/ops.h>

namespace torchao_ops {

#ifdef TORCHAO_OPS_CUDA

void check_has_kernels(const char*, const char*, const Tensor&) {}

std::string cuda_error_text() { return cuda::last_error(); }

Status current_cuda_stream(int device, CUstream_st** stream) {
  // In libtorch_cuda, which this library must not depend on: it also loads where torch has no CUDA.
  constexpr const char* name = "aoti_torch_get_current_cuda_stream";
  using Function = AOTITorchError (*)(int32_t, void**);
  static const Function get_stream = [] {
    void* torch_cuda = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    return reinterpret_cast<Function>(dlsym(torch_cuda != nullptr ? torch_cuda : RTLD_DEFAULT, name));
  }();
  if (get_stream == nullptr) {
    return cuda::set_last_error(Status::cuda_failed, "dlsym",
                                "no library in this process has aoti_torch_get_current_cuda_stream");
  }
  void* current = nullptr;
  if (get_stream(device, &current) != AOTI_TORCH_SUCCESS) {
    return cuda::set_last_error(Status::cuda_failed, name, "there is no such device");
  }
  *stream = static_cast<CUstream_st*>(current);
  return Status::ok;
}

Tensor cuda_workspace(const Tensor& tensor, int64_t bytes) { return torch::stable::new_empty(tensor, {bytes}, ScalarType::Byte); }

#else

void check_has_kernels(const char* op, const char* argument, const Tensor& tensor) {
  if (!tensor.is_cuda()) return;
  fail(op, argument, "be on cpu, as this libtorchao_ops.so was built without CUDA", device_text(tensor));
}

std::string cuda_error_text() { return "this libtorchao_ops.so was built without CUDA"; }

#endif

}  // namespace torchao_ops
