// CUDA tensors in a process without libtorch_cuda: their memory is what the host-run cudaMalloc gives, and torch's operators on them that the
// operator layer needs are here.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace torchao_ops::test {

// The same numbers on CUDA device `index`, contiguous.
at::Tensor to_cuda(const at::Tensor& tensor, int index = 0);
// And back.
at::Tensor to_cpu(const at::Tensor& tensor);

// torch's current stream of device `index`, that aoti_torch_get_current_cuda_stream returns.
void* current_stream(int index);
// For which devices it was asked, and which device was current to the CUDA runtime then.
struct AskedForStream {
  int device, current_device;
};
std::vector<AskedForStream>& asked_for_stream();

}  // namespace torchao_ops::test
