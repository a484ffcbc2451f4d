// csrc/cuda/cusparselt.cpp against a libcusparseLt that multiplies in host memory: what it asks for is what the contract says, plans are made and
// searched once, and a failure is a sentence and leaves nothing behind.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "csrc/cuda/cusparselt.h"
#include "tests/cpp/cuda_cusparselt/fake_cusparselt.h"

namespace {
bool is_capturing = false;
}

// The CUDA runtime's part.
extern "C" {
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = is_capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error"; }
}

namespace torchao_ops::cuda {
namespace {
std::string error;
}
Status set_last_error(Status status, const char* call, const char* reason) {
  error = std::string(call) + " says: " + reason;
  return status;
}
}  // namespace torchao_ops::cuda

namespace torchao_ops::test {
namespace {

using cuda::Context;
using cuda::CusparseLtMatmulArgs;

// Opened by its path and found by its name afterwards, as torch's is.
FakeCusparseLt& fake() {
  static FakeCusparseLt& state = [&]() -> FakeCusparseLt& {
    void* library = dlopen(FAKE_CUSPARSELT, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    return *reinterpret_cast<decltype(&fake_cusparselt)>(dlsym(library, "fake_cusparselt"))();
  }();
  return state;
}

CUstream_st* const some_stream = reinterpret_cast<CUstream_st*>(0x5712ea);

Context context_of(int device) {
  Context context{};
  context.device.index = device;
  context.stream = some_stream;
  return context;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;
Memory memory(size_t bytes) { return Memory(std::aligned_alloc(256, (bytes + 255) / 256 * 256)); }

struct Case {
  FloatType type = FloatType::bf16;
  int64_t M = 8, N = 32, K = 48;
  bool scale = false, fill = false;
  int device = 0;
};

// Small integers, all different enough to tell every transposition: sums are exact in fp32, and below 256 in bf16, too.
int64_t x_value(int64_t m, int64_t k) { return (m * 5 + k * 3) % 7 - 3; }
int64_t w_value(int64_t n, int64_t k) { return k % 4 == n % 4 || k % 4 == (n / 4 + n + 1) % 4 ? (n * 3 + k * 2) % 5 - 2 : 0; }
int64_t scale_value(int64_t n) { return n % 3 - 1; }

// Packs, multiplies and compares. The error, or nothing.
std::string multiply(const Case& c) {
  const Context context = context_of(c.device);
  cuda::CusparseLtSizes sizes{};
  if (cuda::cusparselt_sizes(c.type, c.N, c.K, context, &sizes) != Status::ok) return cuda::error;
  if (sizes.packed != static_cast<int64_t>(fake_packed_bytes(c.N, c.K)) || sizes.scratch != int64_t{fake_scratch_bytes})
    return "sizes";
  const Memory w = memory(static_cast<size_t>(c.N * c.K * 2)), x = memory(static_cast<size_t>(c.M * c.K * 2)),
               y = memory(static_cast<size_t>(c.M * c.N * 2)), packed = memory(static_cast<size_t>(sizes.packed)),
               scratch = memory(static_cast<size_t>(sizes.scratch)), workspace = memory(256);
  std::vector<float> scale;
  for (int64_t n = 0; n < c.N; ++n) {
    scale.push_back(static_cast<float>(scale_value(n)));
    for (int64_t k = 0; k < c.K; ++k) store_float(static_cast<float>(w_value(n, k)), w.get(), c.type, n * c.K + k);
  }
  for (int64_t m = 0; m < c.M; ++m)
    for (int64_t k = 0; k < c.K; ++k) store_float(static_cast<float>(x_value(m, k)), x.get(), c.type, m * c.K + k);
  if (cuda::cusparselt_compress({c.type, w.get(), c.N, c.K, packed.get(), scratch.get()}, context) != Status::ok)
    return cuda::error;

  CusparseLtMatmulArgs args{};
  args.type = c.type;
  args.x = x.get();
  args.packed = packed.get();
  args.scale = c.scale ? scale.data() : nullptr;
  args.y = y.get();
  args.M = c.M;
  args.N = c.N;
  args.K = c.K;
  args.workspace = workspace.get();
  if (c.fill) {
    args.fill_y = [&] {
      for (int64_t i = 0; i < c.M * c.N; ++i) store_float(static_cast<float>(i % 13 - 6), y.get(), c.type, i);
      return Status::ok;
    };
  }
  if (cuda::cusparselt_matmul(args, context) != Status::ok) return cuda::error;
  EXPECT_EQ(fake().stream, some_stream);
  EXPECT_EQ(fake().workspace, workspace.get());
  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t n = 0; n < c.N; ++n) {
      int64_t expected = 0;
      for (int64_t k = 0; k < c.K; ++k) expected += x_value(m, k) * w_value(n, k);
      if (c.scale) expected *= scale_value(n);
      if (c.fill) expected += (m * c.N + n) % 13 - 6;
      const float got = load_float(y.get(), c.type, m * c.N + n);
      if (got != static_cast<float>(expected))
        return "y[" + std::to_string(m) + ", " + std::to_string(n) + "] is " + std::to_string(got);
    }
  }
  return "";
}

class CusparseLt : public testing::Test {
 protected:
  void SetUp() override {
    if (fake().plans == 0) {  // before anything else: what is remembered is success only
      fake().minor_version = 7;
      EXPECT_FALSE(cuda::cusparselt_is_available());
      EXPECT_EQ(multiply({}), "dlopen says: libcusparseLt is older than version 0.8");
    }
    const int live = fake().live_objects;
    fake() = FakeCusparseLt{};
    fake().live_objects = live;
    is_capturing = false;
    EXPECT_TRUE(cuda::cusparselt_is_available());
  }
  void TearDown() override { EXPECT_EQ(fake().complaints, std::vector<std::string>()); }
};

TEST_F(CusparseLt, IsTheProductInEveryTypeAndSize) {
  for (const FloatType type : {FloatType::f16, FloatType::bf16}) {
    for (const int64_t M : {8, 24}) {
      for (const int64_t N : {16, 48}) {
        for (const int64_t K : {16, 32}) {
          for (const bool scale : {false, true}) {
            for (const bool fill : {false, true}) {
              Case c;
              c.type = type, c.M = M, c.N = N, c.K = K, c.scale = scale, c.fill = fill;
              EXPECT_EQ(multiply(c), "") << M << " " << N << " " << K << " scale " << scale << " fill " << fill;
            }
          }
        }
      }
    }
  }
}

TEST_F(CusparseLt, PlansAndSearchesOnce) {
  Case c;
  c.K = 64;
  for (int i = 0; i < 3; ++i) {
    c.fill = i == 1;  // is no other plan
    EXPECT_EQ(multiply(c), "");
    EXPECT_EQ(fake().plans, 1);
    EXPECT_EQ(fake().searches, 1);
  }
  EXPECT_EQ(fake().products, 3);
  Case others[] = {c, c, c, c, c, c};
  others[0].type = FloatType::f16;
  others[1].M = 16;
  others[2].N = 16;
  others[3].K = 80;
  others[4].scale = true;
  others[5].device = 1;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(multiply(others[i]), "") << i;
    EXPECT_EQ(fake().plans, 2 + i);
    EXPECT_EQ(fake().searches, 2 + i);
  }
}

TEST_F(CusparseLt, HasAHandleForEachDevice) {
  Case c;
  for (const int device : {10, 11, 10}) {
    c.device = device;
    EXPECT_EQ(multiply(c), "");
  }
  EXPECT_EQ(fake().handles, 2);
}

// A search waits for the device, which a capture forbids.
TEST_F(CusparseLt, SearchesAfterACapture) {
  Case c;
  c.K = 96;
  is_capturing = true;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(multiply(c), "");
    EXPECT_EQ(fake().plans, 1);
    EXPECT_EQ(fake().searches, 0);
  }
  is_capturing = false;
  EXPECT_EQ(multiply(c), "");
  EXPECT_EQ(fake().plans, 1);
  EXPECT_EQ(fake().searches, 1);
}

TEST_F(CusparseLt, ManyPlansAreForgotten) {
  Case c;
  c.N = c.K = 16;
  const int before = fake().live_objects;
  for (c.M = 8; c.M <= 8 * 275; c.M += 8) {
    for (const FloatType type : {FloatType::f16, FloatType::bf16}) {
      for (const bool scale : {false, true}) {
        c.type = type, c.scale = scale;
        ASSERT_EQ(multiply(c), "");
      }
    }
  }
  EXPECT_LT(fake().live_objects - before, 5 * 1100) << "each has three matrices, an algorithm and itself";
  EXPECT_EQ(multiply(c), "");
}

TEST_F(CusparseLt, AFailureIsASentenceAndLeavesNothing) {
  Case c;
  c.K = 112;
  c.scale = true;
  c.device = 20;
  for (const std::string call :
       {"cusparseLtInit", "cusparseLtStructuredDescriptorInit", "cusparseLtSpMMACompressedSize2", "cusparseLtSpMMACompress2",
        "cusparseLtDenseDescriptorInit", "cusparseLtMatmulDescriptorInit", "cusparseLtMatmulDescSetAttribute",
        "cusparseLtMatmulAlgSelectionInit", "cusparseLtMatmulPlanInit", "cusparseLtMatmulGetWorkspace"}) {
    const int live = fake().live_objects;
    fake().failing_call = call;
    EXPECT_EQ(multiply(c), call + " says: not supported, says the fake");
    EXPECT_EQ(fake().live_objects, live) << call;
  }
  for (const std::string call : {"cusparseLtMatmulSearch", "cusparseLtMatmul"}) {  // the plan is kept
    fake().failing_call = call;
    EXPECT_EQ(multiply(c), call + " says: not supported, says the fake");
  }
  fake().failing_call.clear();
  EXPECT_EQ(multiply(c), "");
  EXPECT_EQ(fake().searches, 1);
}

TEST_F(CusparseLt, AsksForNoLargerWorkspace) {
  Case c;
  c.K = 128;
  fake().workspace_bytes = (size_t{32} << 20) + 1;
  EXPECT_EQ(multiply(c), "cusparseLtMatmulGetWorkspace says: the product needs more than 32 MiB");
  fake().workspace_bytes = size_t{32} << 20;
  EXPECT_EQ(multiply(c), "");
}

}  // namespace
}  // namespace torchao_ops::test
