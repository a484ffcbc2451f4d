#include "tests/cpp/cuda_operators/fake_torch_cuda.h"

#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <cuda_runtime_api.h>
#include <torch/library.h>

#include <array>
#include <cstring>

namespace torchao_ops::test {
namespace {

using at::Tensor;

Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout> /*layout*/, std::optional<at::Device> device, std::optional<bool> /*pin_memory*/) {
  const at::TensorOptions options = at::TensorOptions().dtype(dtype).device(device);
  int64_t elements = 1;
  for (size_t i = 0; i < sizes.size(); ++i) elements = sizes[i] == 0 ? 0 : elements + (sizes[i] - 1) * strides[i];
  for (const int64_t size : sizes) elements = size == 0 ? 0 : elements;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(elements) * options.dtype().itemsize());
  TORCH_CHECK(error == cudaSuccess, "cudaMalloc: ", cudaGetErrorString(error));
  return at::for_blob(memory, sizes)
      .strides(strides)
      .deleter([](void* p) { static_cast<void>(cudaFree(p)); })
      .target_device(device)
      .options(options)
      .make_tensor();
}

Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
             std::optional<at::Device> device, std::optional<bool> pin_memory, std::optional<at::MemoryFormat> /*format*/) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  return empty_strided(sizes, strides, dtype, layout, device, pin_memory);
}

// The same memory as a CPU tensor: it is the host's.
Tensor on_cpu(const Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
}

Tensor& copy(Tensor& to, const Tensor& from, bool /*non_blocking*/) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("copy_", copy);
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", at::native::view);
}

}  // namespace

Tensor to_cuda(const Tensor& tensor, int index) {
  Tensor moved = at::empty(tensor.sizes(), tensor.options().device(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index))));
  on_cpu(moved).copy_(tensor);
  return moved;
}

Tensor to_cpu(const Tensor& tensor) { return on_cpu(tensor).clone(); }

void* current_stream(int index) {
  static std::array<cudaStream_t, 2> streams = [] {
    std::array<cudaStream_t, 2> created{};
    for (cudaStream_t& stream : created) cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    return created;
  }();
  return streams.at(static_cast<size_t>(index));
}

std::vector<AskedForStream>& asked_for_stream() {
  static std::vector<AskedForStream> asked;
  return asked;
}

}  // namespace torchao_ops::test

// Found by its name in the process.
extern "C" __attribute__((visibility("default"))) int32_t aoti_torch_get_current_cuda_stream(int32_t device, void** stream) {
  int current = -1;
  cudaGetDevice(&current);
  torchao_ops::test::asked_for_stream().push_back({device, current});
  *stream = torchao_ops::test::current_stream(device);
  return 0;
}
