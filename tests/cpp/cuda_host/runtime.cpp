// The functions of the CUDA runtime that host code here calls, declared by the toolkit's cuda_runtime_api.h. Everything happens at once, so streams
// are empty things.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <set>

#include "tests/cpp/cuda_host/cuda_host.h"
#include "tests/cpp/cuda_host/memory.h"

namespace cuda_host {
namespace {

constexpr int devices = 2;  // so that a device guard has something to switch

int multiprocessors = 132;
int current_device = 0;
cudaError_t last_error = cudaSuccess;
std::set<cudaStream_t> streams;

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t check_stream(cudaStream_t stream) {
  return stream == nullptr || streams.count(stream) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

}  // namespace

void set_multiprocessors(int count) { multiprocessors = count; }

}  // namespace cuda_host

using namespace cuda_host;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices) return remember(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device < 0 || device >= devices) return remember(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = 9; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = multiprocessors; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(shared_bytes_per_block); return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(shared_bytes_per_multiprocessor);
      return cudaSuccess;
    default: return remember(cudaErrorInvalidValue);
  }
}

cudaError_t cudaFuncSetAttribute(const void* /*kernel*/, cudaFuncAttribute attribute, int value) {
  const bool fits = attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || (value >= 0 && value <= shared_bytes_per_block);
  return remember(fits ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = bytes == 0 ? nullptr : allocate_global(bytes);
  return remember(*memory == nullptr && bytes > 0 ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* memory) {
  return remember(memory == nullptr || free_global(memory) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind /*kind*/, cudaStream_t stream) {
  if (const cudaError_t error = check_stream(stream)) return remember(error);
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_stride, const void* from, size_t from_stride, size_t row_bytes, size_t rows,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (row_bytes > to_stride || row_bytes > from_stride) return remember(cudaErrorInvalidPitchValue);
  for (size_t row = 0; row < rows; ++row) {
    const cudaError_t error = cudaMemcpyAsync(static_cast<char*>(to) + row * to_stride,
                                              static_cast<const char*>(from) + row * from_stride, row_bytes, kind, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = check_stream(stream)) return remember(error);
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) { return cudaMemsetAsync(memory, value, bytes, nullptr); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  *stream = reinterpret_cast<cudaStream_t>(new char);
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (streams.erase(stream) == 0) return remember(cudaErrorInvalidResourceHandle);
  delete reinterpret_cast<char*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return remember(check_stream(stream)); }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidPitchValue: return "invalid pitch argument";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    default: return "another error";
  }
}

}  // extern "C"
