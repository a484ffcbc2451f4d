#include "csrc/cuda/device.h"

#include <cuda_runtime.h>

#include <mutex>
#include <vector>

namespace torchao_ops::cuda {
namespace {

std::string& error_text() {
  thread_local std::string text;
  return text;
}

Status check(cudaError_t error, const char* call) {
  return error == cudaSuccess ? Status::ok : set_last_error(Status::cuda_failed, call, cudaGetErrorString(error));
}

Status read_attributes(int index, Device* device) {
  int major = 0, minor = 0;
  const struct {
    cudaDeviceAttr attribute;
    int* value;
  } attributes[] = {{cudaDevAttrComputeCapabilityMajor, &major},
                    {cudaDevAttrComputeCapabilityMinor, &minor},
                    {cudaDevAttrMultiProcessorCount, &device->multiprocessors},
                    {cudaDevAttrMaxSharedMemoryPerBlockOptin, &device->shared_bytes_per_block},
                    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, &device->shared_bytes_per_multiprocessor}};
  for (const auto& [attribute, value] : attributes) {
    const Status status = check(cudaDeviceGetAttribute(value, attribute, index), "cudaDeviceGetAttribute");
    if (status != Status::ok) return status;
  }
  device->index = index;
  device->compute_capability = 10 * major + minor;
  return Status::ok;
}

}  // namespace

const std::string& last_error() { return error_text(); }

Status set_last_error(Status status, const char* call, const char* reason) {
  error_text() = std::string(call) + " says: " + reason;
  return status;
}

Status get_device(int index, Device* device) {
  static std::mutex mutex;
  static std::vector<Device> known;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const Device& other : known) {
    if (other.index == index) {
      *device = other;
      return Status::ok;
    }
  }
  const Status status = read_attributes(index, device);
  if (status == Status::ok) known.push_back(*device);
  return status;
}

DeviceGuard::DeviceGuard(int index) {
  int current = -1;
  status_ = check(cudaGetDevice(&current), "cudaGetDevice");
  if (status_ != Status::ok || current == index) return;
  status_ = check(cudaSetDevice(index), "cudaSetDevice");
  if (status_ == Status::ok) previous_ = current;
}

DeviceGuard::~DeviceGuard() {
  if (previous_ >= 0) static_cast<void>(cudaSetDevice(previous_));
}

}  // namespace torchao_ops::cuda
