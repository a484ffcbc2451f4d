// What the tests of the harness share. They are compiled for every build, and a fault may be reported differently by each.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/ptx.cuh"
#include "tests/cpp/cuda_host/cuda_host.h"

namespace cuda_host::self_test {

namespace ptx = torchao_ops::cuda::ptx;
using torchao_ops::cuda::enqueue;

// An array in global memory, which the host can look at as well. Filled with unset_byte.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t size) : size_(size) {
    EXPECT_EQ(cudaMalloc(&data_, static_cast<size_t>(size) * sizeof(T)), cudaSuccess);
  }
  ~DeviceArray() { EXPECT_EQ(cudaFree(data_), cudaSuccess); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) const { return data_[i]; }
  void fill(T value) const {
    for (int64_t i = 0; i < size_; ++i) data_[i] = value;
  }

 private:
  T* data_ = nullptr;
  int64_t size_;
};

// What enqueue() says is wrong with the kernel, "" if nothing.
template <class... Parameters, class... Arguments>
std::string error_of(void (*kernel)(Parameters...), dim3 grid, dim3 block, int64_t shared_bytes, const Arguments&... arguments) {
  try {
    const cudaError_t error = enqueue(kernel, grid, block, shared_bytes, nullptr, arguments...);
    return error == cudaSuccess ? "" : cudaGetErrorString(error);
  } catch (const Error& error) {
    return error.what();
  }
}

// So many random orders of execution: what depends on the order of two things only goes unseen in all of them once in 2^20 runs.
constexpr int orders = 20;

// Fails the test unless run() returns `text`, or something that contains it, in every order.
void expect_in_every_order(const char* file, int line, const std::string& text, bool whole,
                           const std::function<std::string()>& run);

}  // namespace cuda_host::self_test

// `call` is an error_of(...); it says `text`.
#define EXPECT_ERROR(text, call) \
  cuda_host::self_test::expect_in_every_order(__FILE__, __LINE__, text, false, [&] { return call; })
#define EXPECT_NO_ERROR(call) cuda_host::self_test::expect_in_every_order(__FILE__, __LINE__, "", true, [&] { return call; })
// The program ends with ASAN's or UBSAN's report.
#define EXPECT_ASAN(text, call) EXPECT_DEATH(static_cast<void>(call), text)
