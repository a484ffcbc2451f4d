// Host operands on a CUDA device and back, so that the tests of kernels, which know host memory only, can drive CUDA kernels as well.
//
// With TORCHAO_OPS_CUDA_HOST the "device" is the host (tests/cpp/cuda_host), where allocations end at pages that cannot be touched. On a real
// device compute-sanitizer finds accesses outside them; TORCHAO_OPS_TEST_SANITIZER=1 prepares the memory for it: nothing is filled beforehand, so
// that reads of what was never written show, and there are no margins that would hide writes outside.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "csrc/cuda/device.h"

namespace torchao_ops::test {

// Throws, which ends the test, with the call's name unless the error is cudaSuccess.
void require(cudaError_t error, const char* call);
// Why there is no device to run on, or null.
const char* no_device_reason();
// "cuda on a device", or which build for the host this is.
const char* where_kernels_run();
// Device 0 and a stream of this program's own; no workspace.
const cuda::Context& test_context();
// Whether memory of that size can be had. If not, prints that a case is skipped.
bool fits_on_device(int64_t bytes);

// Memory on the device that ends exactly where it says, filled with bytes that show where they are used: 0xff, a NaN in every float type.
class DeviceMemory {
 public:
  // margins: whether to surround it with memory that must not change.
  DeviceMemory(int64_t bytes, int64_t misalignment, bool margins, cudaStream_t stream);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* data() const { return data_; }  // `misalignment` bytes beyond a multiple of cuda::workspace_alignment; null for 0 bytes
  void expect_untouched_margins() const;

 private:
  void* memory_ = nullptr;
  void* data_ = nullptr;
  int64_t bytes_, before_ = 0, after_ = 0;
  cudaStream_t stream_;
};

// Rows of host memory. What lies between them is neither read nor written.
struct HostRows {
  void* data;  // null: there is no such operand
  int64_t rows, row_bytes, row_stride_bytes;

  int64_t bytes() const { return data == nullptr || rows == 0 || row_bytes == 0 ? 0 : (rows - 1) * row_stride_bytes + row_bytes; }
};

// The same rows on the device: as far apart, and as well aligned.
class DeviceRows {
 public:
  enum class Role { input, output };
  // An input's rows are copied.
  DeviceRows(const HostRows& host, Role role, cudaStream_t stream);

  // Null for an operand without elements, as torch's tensors are.
  void* data() const { return memory_.data(); }
  // Copies an output's rows to the host. Fails the test if something around them was written to or, for an input, a row changed.
  void finish() const;

 private:
  HostRows host_;
  Role role_;
  cudaStream_t stream_;
  DeviceMemory memory_;
};

}  // namespace torchao_ops::test
