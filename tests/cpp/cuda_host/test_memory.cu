// Memory: what lies around it, what it holds at first, and the runtime's functions.
#include <cstring>
#include <set>
#include <string>

#include "tests/cpp/cuda_host/memory.h"
#include "tests/cpp/cuda_host/self_test.h"

namespace cuda_host::self_test {
namespace {

// ---- global memory ----

__global__ void read_kernel(const uint8_t* p, int64_t i, uint8_t* out) { *out = p[i]; }
__global__ void write_kernel(uint8_t* p, int64_t i) { p[i] = 1; }

TEST(GlobalMemory, IsAsAlignedAsCudaMallocSays) {
  for (const int64_t bytes : {1, 2, 255, 256, 257, 5000}) {
    const DeviceArray<uint8_t> array(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.data()) % 256, 0u);
    for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(array[i], 0xff);
  }
}

// Sizes that are multiples of 256 end at an unmapped page.
TEST(GlobalMemory, AccessBeyondTheEndIsReported) {
  const DeviceArray<uint8_t> array(512), out(1);
  EXPECT_NO_ERROR(error_of(read_kernel, 1, 1, 0, array.data(), 511, out.data()));
  EXPECT_NO_ERROR(error_of(write_kernel, 1, 1, 0, array.data(), 511));
  EXPECT_ERROR("at offset 512 of an allocation, which has 512", error_of(read_kernel, 1, 1, 0, array.data(), 512, out.data()));
  EXPECT_ERROR("at offset 512 of an allocation, which has 512", error_of(write_kernel, 1, 1, 0, array.data(), 512));
  EXPECT_ERROR("test_memory.cu:", error_of(write_kernel, 1, 1, 0, array.data(), 512));
}

// Others are followed by a few bytes that can be touched. Only the checking builds see a read of them.
TEST(GlobalMemory, AccessToTheSlackIsReported) {
  for (const int64_t i : {int64_t{500}, int64_t{511}, int64_t{-1}}) {
    const DeviceArray<uint8_t> array(500), out(1);
    if (is_race_build()) {
      EXPECT_ERROR("of an allocation, which has 500", error_of(read_kernel, 1, 1, 0, array.data(), i, out.data()));
      EXPECT_ERROR("of an allocation, which has 500", error_of(write_kernel, 1, 1, 0, array.data(), i));
    } else if (is_asan_build()) {
      EXPECT_ASAN("use-after-poison", error_of(read_kernel, 1, 1, 0, array.data(), i, out.data()));
      EXPECT_ASAN("use-after-poison", error_of(write_kernel, 1, 1, 0, array.data(), i));
    } else {
      EXPECT_EQ("a kernel wrote around an allocation of 500 bytes", error_of(write_kernel, 1, 1, 0, array.data(), i));
      array.data()[i] = 0xff;
    }
  }
}

TEST(GlobalMemory, AccessAfterFreeIsReported) {
  uint8_t* p;
  ASSERT_EQ(cudaMalloc(&p, 100), cudaSuccess);
  ASSERT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_ERROR("which is not memory of the device", error_of(write_kernel, 1, 1, 0, p, 0));
  if (!is_asan_build()) EXPECT_ERROR("which is not memory of the device", error_of(write_kernel, 1, 1, 0, nullptr, 0));
}

TEST(GlobalMemory, MayBeLarge) {
  constexpr int64_t bytes = int64_t{100} << 30;  // more than the machine has
  const DeviceArray<uint8_t> array(bytes), out(1);
  EXPECT_NO_ERROR(error_of(write_kernel, 1, 1, 0, array.data(), bytes / 2));
  EXPECT_NO_ERROR(error_of(read_kernel, 1, 1, 0, array.data(), bytes / 2, out.data()));
  EXPECT_EQ(out[0], 1);
  EXPECT_ERROR("of an allocation", error_of(read_kernel, 1, 1, 0, array.data(), bytes, out.data()));
}

__global__ void vector_load_kernel(const uint8_t* p, uint4* out) { *out = *reinterpret_cast<const uint4*>(p); }

TEST(GlobalMemory, MisalignedVectorsAreReportedByUbsan) {
  if (!is_asan_build()) return;
  const DeviceArray<uint8_t> array(64);
  const DeviceArray<uint4> out(1);
  EXPECT_EQ("", error_of(vector_load_kernel, 1, 1, 0, array.data() + 16, out.data()));
  EXPECT_ASAN("misaligned address", error_of(vector_load_kernel, 1, 1, 0, array.data() + 8, out.data()));
}

// ---- shared memory ----

__global__ void dynamic_kernel(int64_t i, bool write, uint8_t* out) {
  TORCHAO_OPS_DYNAMIC_SHARED(uint8_t, bytes);
  if (reinterpret_cast<uintptr_t>(bytes) % 128 != 0) *out = 99;
  if (write) {
    bytes[i] = 1;
  } else {
    *out = bytes[i];
  }
}
__global__ void static_kernel(int64_t i, bool write, uint8_t* out) {
  TORCHAO_OPS_SHARED_ARRAY(uint8_t, other, [64]);
  TORCHAO_OPS_SHARED_ARRAY(uint8_t, bytes, [5][20]);
  other[0] = 0;
  uint8_t* first = &bytes[0][0];
  if (write) {
    first[i] = 1;
  } else {
    *out = first[i];
  }
}

TEST(SharedMemory, AccessBeyondTheEndIsReported) {
  const DeviceArray<uint8_t> out(1);
  out.fill(0);
  EXPECT_NO_ERROR(error_of(dynamic_kernel, 1, 1, 1280, 1279, true, out.data()));
  EXPECT_NO_ERROR(error_of(static_kernel, 1, 1, 0, 99, true, out.data()));
  EXPECT_EQ(out[0], 0);
  EXPECT_ERROR("at offset 1280 of dynamic shared memory, which has 1280",
               error_of(dynamic_kernel, 1, 1, 1280, 1280, true, out.data()));
  EXPECT_ERROR("at offset 1280 of dynamic shared memory, which has 1280",
               error_of(dynamic_kernel, 1, 1, 1280, 1280, false, out.data()));
  EXPECT_ERROR("at offset 100 of bytes, which has 100", error_of(static_kernel, 1, 1, 0, 100, true, out.data()));
  EXPECT_ERROR("at offset 100 of bytes, which has 100", error_of(static_kernel, 1, 1, 0, 100, false, out.data()));
  if (is_race_build()) {
    EXPECT_ERROR("at offset 1270 of dynamic shared memory, which has 1270",
                 error_of(dynamic_kernel, 1, 1, 1270, 1270, true, out.data()));
    EXPECT_ERROR("at offset -1 of bytes, which has 100", error_of(static_kernel, 1, 1, 0, -1, false, out.data()));
  }
  if (is_asan_build()) {
    EXPECT_ASAN("use-after-poison", error_of(dynamic_kernel, 1, 1, 1270, 1270, true, out.data()));
  }
}

__global__ void read_then_write_kernel(int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, value, [1]);
  TORCHAO_OPS_DYNAMIC_SHARED(int, dynamic);
  out[2 * blockIdx.x] = value[0];
  out[2 * blockIdx.x + 1] = dynamic[0];
  value[0] = dynamic[0] = 3;
}

// No block sees what another one left there.
TEST(SharedMemory, IsUnsetAtFirst) {
  const DeviceArray<int> out(6);
  if (is_race_build()) {
    EXPECT_ERROR("thread 0 reads offset 0 of value, to which nothing was written",
                 error_of(read_then_write_kernel, 3, 1, 4, out.data()));
    return;
  }
  std::set<int> seen;
  for (int order = 0; order < orders; ++order) {
    EXPECT_EQ("", error_of(read_then_write_kernel, 3, 1, 4, out.data()));
    for (int i = 0; i < 6; ++i) EXPECT_EQ(out[i], out[0]);
    seen.insert(out[0]);
  }
  EXPECT_EQ(seen, (std::set<int>{-1, 0x42424242}));
}

template <int Size>
__global__ void instance_kernel(int* out) {
  TORCHAO_OPS_SHARED_ARRAY(int, values, [Size]);
  TORCHAO_OPS_SHARED_ARRAY(double, one, );
  one = 0.5;
  values[Size - 1] = Size;
  *out = static_cast<int>(sizeof(values)) + values[Size - 1] + static_cast<int>(2 * one);
}

TEST(SharedMemory, EachInstanceOfATemplateHasItsOwn) {
  const DeviceArray<int> out(1);
  EXPECT_EQ("", error_of(instance_kernel<3>, 1, 1, 0, out.data()));
  EXPECT_EQ(out[0], 12 + 3 + 1);
  EXPECT_EQ("", error_of(instance_kernel<5000>, 1, 1, 0, out.data()));
  EXPECT_EQ(out[0], 20000 + 5000 + 1);
}

// ---- the runtime ----

TEST(Runtime, Copies) {
  const DeviceArray<char> device(6);
  char host[6] = {};
  EXPECT_EQ(cudaMemset(device.data(), 'a', 6), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device.data() + 1, "bcd", 3, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy2DAsync(host, 3, device.data() + 1, 3, 2, 2, cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  EXPECT_EQ(std::string(host, 5), std::string("bc\0aa", 5));
  EXPECT_EQ(cudaMemcpy2DAsync(host, 1, device.data(), 3, 2, 2, cudaMemcpyDeviceToHost, nullptr), cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Runtime, Devices) {
  int device = -1, value = 0;
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(value, 132);
  set_multiprocessors(7);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(value, 7);
  set_multiprocessors(132);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

TEST(Runtime, RefusesWhatIsNotThere) {
  uint8_t* p;
  char on_host;
  EXPECT_EQ(cudaMalloc(&p, size_t{1} << 60), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(&on_host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  cudaStream_t stream;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

}  // namespace
}  // namespace cuda_host::self_test
