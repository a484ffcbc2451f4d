#include "tests/cpp/cuda_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef TORCHAO_OPS_CUDA_HOST
#include "tests/cpp/cuda_host/cuda_host.h"
#endif

namespace torchao_ops::test {
namespace {

constexpr int fill = 0xff;
// A multiple of the alignment, and more than a block of 256 threads stores at once beyond a result's end (16 bytes each).
constexpr int64_t margin_bytes = 4096;
static_assert(margin_bytes % cuda::workspace_alignment == 0, "a margin keeps the alignment");

#ifdef TORCHAO_OPS_CUDA_HOST
constexpr int64_t margin_after_bytes = 0;  // a page that cannot be touched follows
#else
constexpr int64_t margin_after_bytes = margin_bytes;
#endif

bool for_sanitizer() {
  static const bool value = [] {
    const char* text = std::getenv("TORCHAO_OPS_TEST_SANITIZER");
    return text != nullptr && std::strcmp(text, "1") == 0;
  }();
  return value;
}

int64_t misalignment_of(const void* pointer) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer) % cuda::workspace_alignment);
}

void synchronize(cudaStream_t stream) { require(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }

// The copy of `shape`'s rows, in the direction of `kind`.
void copy_rows(void* to, int64_t to_stride, const void* from, int64_t from_stride, const HostRows& shape, cudaMemcpyKind kind,
               cudaStream_t stream) {
  // A single row has any stride, but CUDA asks for one that is at least its length.
  auto pitch = [&](int64_t stride) { return static_cast<size_t>(shape.rows == 1 ? shape.row_bytes : stride); };
  require(cudaMemcpy2DAsync(to, pitch(to_stride), from, pitch(from_stride), static_cast<size_t>(shape.row_bytes),
                            static_cast<size_t>(shape.rows), kind, stream),
          "cudaMemcpy2DAsync");
}

}  // namespace

void require(cudaError_t error, const char* call) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(call) + " says: " + cudaGetErrorString(error));
}

const char* no_device_reason() {
  static const std::string reason = []() -> std::string {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) return std::string("no CUDA device (") + cudaGetErrorString(error) + ")";
    return count > 0 ? "" : "no CUDA device";
  }();
  return reason.empty() ? nullptr : reason.c_str();
}

const char* where_kernels_run() {
#ifdef TORCHAO_OPS_CUDA_HOST
  if (cuda_host::is_asan_build()) return "cuda on the host, asan";
  if (cuda_host::is_race_build()) return "cuda on the host, race";
  return "cuda on the host";
#else
  return "cuda on a device";
#endif
}

const cuda::Context& test_context() {
  static const cuda::Context context = [] {
    cuda::Context c{};
    if (cuda::get_device(0, &c.device) != Status::ok) throw std::runtime_error(cuda::last_error());
    require(cudaSetDevice(0), "cudaSetDevice");
    // It and the default stream do not wait for each other: a kernel that went there instead would be found out.
    require(cudaStreamCreateWithFlags(&c.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return c;
  }();
  return context;
}

bool fits_on_device([[maybe_unused]] int64_t bytes) {
#ifndef TORCHAO_OPS_CUDA_HOST
  size_t free_bytes = 0, all_bytes = 0;
  require(cudaMemGetInfo(&free_bytes, &all_bytes), "cudaMemGetInfo");
  if (bytes > static_cast<int64_t>(free_bytes)) {
    // The form that tests/run.py reads.
    std::printf("  kernels (cuda on a device): skipped, a case needs %lld GiB of device memory, more than is free\n",
                static_cast<long long>(bytes >> 30));
    return false;
  }
#endif
  return true;
}

DeviceMemory::DeviceMemory(int64_t bytes, int64_t misalignment, bool margins, cudaStream_t stream)
    : bytes_(bytes), stream_(stream) {
  if (bytes == 0) return;
  before_ = misalignment;
  if (margins && !for_sanitizer()) {
    before_ += margin_bytes;
    after_ = margin_after_bytes;
  }
  const int64_t all = before_ + bytes + after_;
  require(cudaMalloc(&memory_, static_cast<size_t>(all)), "cudaMalloc");
  data_ = static_cast<uint8_t*>(memory_) + before_;
#ifdef TORCHAO_OPS_CUDA_HOST
  // cudaMalloc there fills memory with the same bytes, but for the largest, which would take room and time.
  if (margins) require(cudaMemsetAsync(memory_, fill, static_cast<size_t>(before_), stream), "cudaMemsetAsync");
#else
  if (!for_sanitizer()) require(cudaMemsetAsync(memory_, fill, static_cast<size_t>(all), stream), "cudaMemsetAsync");
#endif
}

DeviceMemory::~DeviceMemory() {
  if (memory_ != nullptr) static_cast<void>(cudaFree(memory_));
}

void DeviceMemory::expect_untouched_margins() const {
  if (memory_ == nullptr || for_sanitizer()) return;  // has none
  std::vector<uint8_t> margins(static_cast<size_t>(before_ + after_), uint8_t{fill});
  auto download = [&](size_t at, const void* from, int64_t bytes) {
    if (bytes == 0) return;
    require(cudaMemcpyAsync(&margins[at], from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
  };
  download(0, memory_, before_);
  download(static_cast<size_t>(before_), static_cast<uint8_t*>(data_) + bytes_, after_);
  synchronize(stream_);
  EXPECT_TRUE(std::all_of(margins.begin(), margins.end(), [](uint8_t byte) { return byte == fill; }))
      << "wrote outside a result or the workspace";
}

DeviceRows::DeviceRows(const HostRows& host, Role role, cudaStream_t stream)
    : host_(host), role_(role), stream_(stream), memory_(host.bytes(), misalignment_of(host.data), role == Role::output, stream) {
  if (role == Role::input && data() != nullptr) {
    copy_rows(data(), host.row_stride_bytes, host.data, host.row_stride_bytes, host, cudaMemcpyHostToDevice, stream);
  }
}

void DeviceRows::finish() const {
  if (data() == nullptr) return;
  if (role_ == Role::output) {
    copy_rows(host_.data, host_.row_stride_bytes, data(), host_.row_stride_bytes, host_, cudaMemcpyDeviceToHost, stream_);
    synchronize(stream_);
    memory_.expect_untouched_margins();
    return;
  }
  std::vector<uint8_t> rows(static_cast<size_t>(host_.rows * host_.row_bytes));
  copy_rows(rows.data(), host_.row_bytes, data(), host_.row_stride_bytes, host_, cudaMemcpyDeviceToHost, stream_);
  synchronize(stream_);
  for (int64_t i = 0; i < host_.rows; ++i) {
    const int changed =
        std::memcmp(&rows[static_cast<size_t>(i * host_.row_bytes)],
                    static_cast<const uint8_t*>(host_.data) + i * host_.row_stride_bytes, static_cast<size_t>(host_.row_bytes));
    EXPECT_EQ(changed, 0) << "wrote to row " << i << " of an input";
  }
}

}  // namespace torchao_ops::test
