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

using sparse24::ValueType;
constexpr ValueType types[] = {ValueType::f16, ValueType::bf16, ValueType::int8, ValueType::e4m3fn};

struct Case {
  ValueType type = ValueType::bf16;
  int64_t M = 16, N = 32, K = 96;
  bool fill = false;
  int device = 0;
};

// Small integers, all different enough to tell every transposition: sums are exact in fp32, and below 256 in bf16, too.
int64_t x_value(int64_t m, int64_t k) { return (m * 5 + k * 3) % 7 - 3; }
int64_t w_value(int64_t n, int64_t k) { return k % 4 == n % 4 || k % 4 == (n / 4 + n + 1) % 4 ? (n * 3 + k * 2) % 5 - 2 : 0; }

void store(int64_t value, void* values, ValueType type, int64_t i) {
  const auto number = static_cast<float>(value);
  switch (type) {
    case ValueType::int8: static_cast<int8_t*>(values)[i] = static_cast<int8_t>(value); break;
    case ValueType::e4m3fn: from_float(number, static_cast<Float8E4m3fn*>(values) + i); break;
    default: store_float(number, values, type == ValueType::f16 ? FloatType::f16 : FloatType::bf16, i);
  }
}
// Of y: fp16 and bf16 as they are, sums of int8 in int32, and of e4m3fn in fp32.
int64_t result_bytes(ValueType type) { return sparse24::size_of(type) == 1 ? 4 : 2; }
void store_result(int64_t value, void* y, ValueType type, int64_t i) {
  switch (type) {
    case ValueType::int8: static_cast<int32_t*>(y)[i] = static_cast<int32_t>(value); break;
    case ValueType::e4m3fn: static_cast<float*>(y)[i] = static_cast<float>(value); break;
    default: store(value, y, type, i);
  }
}
double result(const void* y, ValueType type, int64_t i) {
  switch (type) {
    case ValueType::int8: return static_cast<const int32_t*>(y)[i];
    case ValueType::e4m3fn: return static_cast<const float*>(y)[i];
    default: return sparse24::load_value(y, type, i);
  }
}

// Packs, multiplies and compares. The error, or nothing.
std::string multiply(const Case& c) {
  const Context context = context_of(c.device);
  cuda::CusparseLtSizes sizes{};
  if (cuda::cusparselt_sizes(c.type, c.N, c.K, context, &sizes) != Status::ok) return cuda::error;
  const int64_t size = sparse24::size_of(c.type);
  if (sizes.packed != static_cast<int64_t>(fake_packed_bytes(c.N, c.K, size)) || sizes.scratch != int64_t{fake_scratch_bytes})
    return "sizes";
  const Memory w = memory(static_cast<size_t>(c.N * c.K * size)), x = memory(static_cast<size_t>(c.M * c.K * size)),
               y = memory(static_cast<size_t>(c.M * c.N * result_bytes(c.type))),
               packed = memory(static_cast<size_t>(sizes.packed)), scratch = memory(static_cast<size_t>(sizes.scratch)),
               workspace = memory(256);
  for (int64_t n = 0; n < c.N; ++n)
    for (int64_t k = 0; k < c.K; ++k) store(w_value(n, k), w.get(), c.type, n * c.K + k);
  for (int64_t m = 0; m < c.M; ++m)
    for (int64_t k = 0; k < c.K; ++k) store(x_value(m, k), x.get(), c.type, m * c.K + k);
  if (cuda::cusparselt_compress({c.type, w.get(), c.N, c.K, packed.get(), scratch.get()}, context) != Status::ok)
    return cuda::error;

  CusparseLtMatmulArgs args{};
  args.type = c.type;
  args.x = x.get();
  args.packed = packed.get();
  args.y = y.get();
  args.M = c.M;
  args.N = c.N;
  args.K = c.K;
  args.workspace = workspace.get();
  if (c.fill) {
    args.fill_y = [&] {
      for (int64_t i = 0; i < c.M * c.N; ++i) store_result(i % 13 - 6, y.get(), c.type, i);
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
      if (c.fill) expected += (m * c.N + n) % 13 - 6;
      const double got = result(y.get(), c.type, m * c.N + n);
      if (got != static_cast<double>(expected))
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
  for (const ValueType type : types) {
    const int64_t rows = cuda::cusparselt_rows_multiple(type), multiple = cuda::cusparselt_weight_multiple(type);
    for (const int64_t M : {rows, 3 * rows}) {
      for (const int64_t N : {multiple, 3 * multiple}) {
        for (const int64_t K : {multiple, 2 * multiple}) {
          for (const bool fill : {false, true}) {
            Case c;
            c.type = type, c.M = M, c.N = N, c.K = K, c.fill = fill;
            EXPECT_EQ(multiply(c), "") << static_cast<int>(type) << " " << M << " " << N << " " << K << " fill " << fill;
          }
        }
      }
    }
  }
}

TEST_F(CusparseLt, PlansAndSearchesOnce) {
  Case c;
  c.K = 160;
  for (int i = 0; i < 3; ++i) {
    c.fill = i == 1;  // is no other plan
    EXPECT_EQ(multiply(c), "");
    EXPECT_EQ(fake().plans, 1);
    EXPECT_EQ(fake().searches, 1);
  }
  EXPECT_EQ(fake().products, 3);
  Case others[] = {c, c, c, c, c, c, c};
  others[0].type = ValueType::f16;
  others[1].M = 32;
  others[2].N = 16;
  others[3].K = 192;
  others[4].type = ValueType::int8;
  others[5].type = ValueType::e4m3fn;
  others[6].device = 1;
  for (int i = 0; i < 7; ++i) {
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
  c.K = 224;
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
  for (c.device = 30; c.device < 65; ++c.device) {
    for (c.M = 8; c.M <= 64; c.M += 8) {
      for (const int64_t N : {16, 32}) {
        for (const ValueType type : {ValueType::f16, ValueType::bf16}) {
          c.N = N, c.type = type;
          ASSERT_EQ(multiply(c), "");
        }
      }
    }
  }
  c.M = 8;
  EXPECT_LT(fake().live_objects - before, 5 * 1100) << "each has three matrices, an algorithm and itself";
  EXPECT_EQ(multiply(c), "");
}

TEST_F(CusparseLt, AFailureIsASentenceAndLeavesNothing) {
  Case c;
  c.K = 256;
  c.device = 20;
  for (const std::string call :
       {"cusparseLtInit", "cusparseLtStructuredDescriptorInit", "cusparseLtSpMMACompressedSize2", "cusparseLtSpMMACompress2",
        "cusparseLtDenseDescriptorInit", "cusparseLtMatmulDescriptorInit", "cusparseLtMatmulAlgSelectionInit",
        "cusparseLtMatmulPlanInit", "cusparseLtMatmulGetWorkspace"}) {
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
  c.K = 288;
  fake().workspace_bytes = (size_t{32} << 20) + 1;
  EXPECT_EQ(multiply(c), "cusparseLtMatmulGetWorkspace says: the product needs more than 32 MiB");
  fake().workspace_bytes = size_t{32} << 20;
  EXPECT_EQ(multiply(c), "");
}

}  // namespace
}  // namespace torchao_ops::test
