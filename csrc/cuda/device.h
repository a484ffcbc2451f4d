// The device that a kernel runs on, and what the host side of a kernel is given to run it.
//
// Host side of every operator in csrc/cuda: `Status op(const Args&, const Context&)` enqueues work on context.stream and returns; it never
// waits, allocates nothing and works while a CUDA graph is being captured. What it needs in between lies in context.workspace, whose size
// `op_workspace_bytes(args, device)` tells beforehand.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/spec/status.h"

struct CUstream_st;  // a cudaStream_t points to one

namespace torchao_ops::cuda {

struct Device {
  int index;
  int compute_capability;  // 10 * major + minor
  int multiprocessors;
  int shared_bytes_per_block;           // the most that a block may ask for
  int shared_bytes_per_multiprocessor;  // what its blocks share
};

struct Context {
  Device device;
  CUstream_st* stream;
  void* workspace;  // aligned to workspace_alignment, on the device
};

constexpr int64_t workspace_alignment = 256;
// Where the next thing in the workspace may begin.
constexpr int64_t workspace_aligned(int64_t bytes) {
  return (bytes + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
}

// Asks the driver once for each device.
Status get_device(int index, Device* device);

// Makes a device current for the calling thread, and the previous one again at the end.
class DeviceGuard {
 public:
  explicit DeviceGuard(int index);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  Status status() const { return status_; }

 private:
  int previous_ = -1;
  Status status_;
};

// After Status::cuda_failed or Status::cublaslt_failed, in the same thread: which call failed and what CUDA says about it.
const std::string& last_error();
// Remembers it. Returns `status`.
Status set_last_error(Status status, const char* call, const char* reason);

}  // namespace torchao_ops::cuda
