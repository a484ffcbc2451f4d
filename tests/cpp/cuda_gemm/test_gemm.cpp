// csrc/cuda/gemm.cpp against a libcublasLt that multiplies in host memory: what it asks for is what the contract says, in every layout, and it
// asks in the way that the library's header demands.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "csrc/cuda/gemm.h"
#include "tests/cpp/cuda_gemm/fake_cublaslt.h"

namespace torchao_ops::test {
namespace {

using cuda::Context;
using cuda::GemmArgs;

// Opened by its path and found by its name afterwards, as torch's is.
FakeCublasLt& fake() {
  static FakeCublasLt& state = [&]() -> FakeCublasLt& {
    void* library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    return *reinterpret_cast<decltype(&fake_cublaslt)>(dlsym(library, "fake_cublaslt"))();
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

// `size` elements that begin `offset` elements after an address aligned to 256 bytes.
class Elements {
 public:
  Elements(FloatType type, int64_t size, int64_t offset)
      : type_(type), offset_(offset), memory_(static_cast<uint8_t*>(std::aligned_alloc(256, bytes(type, size + offset)))) {}
  ~Elements() { std::free(memory_); }
  Elements(const Elements&) = delete;
  Elements& operator=(const Elements&) = delete;

  void* data() const { return memory_ + offset_ * size_of(type_); }
  float get(int64_t i) const { return load_float(data(), type_, i); }
  void set(int64_t i, float value) { store_float(value, data(), type_, i); }

 private:
  static size_t bytes(FloatType type, int64_t size) { return static_cast<size_t>(size * size_of(type) / 256 + 1) * 256; }
  FloatType type_;
  int64_t offset_;
  uint8_t* memory_;
};

struct Case {
  FloatType type = FloatType::bf16;
  int64_t M = 3, N = 5, K = 7;
  int64_t x_gap = 0, w_gap = 0, y_gap = 0;           // between rows
  int64_t x_offset = 0, w_offset = 0, y_offset = 0;  // elements from an aligned address
  bool bias = true, w_is_transposed = false;
};

// Small integers, all different enough to tell every transposition: sums are exact in fp32, and below 256 in bf16, too.
int64_t x_value(int64_t m, int64_t k) { return (m * 5 + k * 3) % 7 - 3; }
int64_t w_value(int64_t n, int64_t k) { return (n * 3 + k * 2 + n * k) % 5 - 2; }
int64_t bias_value(int64_t n) { return n % 11 - 5; }

constexpr float untouched = 99;

std::string multiply(const Case& c) {
  const int64_t w_rows = c.w_is_transposed ? c.K : c.N, w_columns = c.w_is_transposed ? c.N : c.K;
  const int64_t x_stride = c.K + c.x_gap, w_stride = w_columns + c.w_gap, y_stride = c.N + c.y_gap;
  Elements x(c.type, c.M * x_stride, c.x_offset), w(c.type, w_rows * w_stride, c.w_offset), y(c.type, c.M * y_stride, c.y_offset);
  Elements bias(c.type, c.N, 0), workspace(FloatType::f32, 1, 0);
  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t k = 0; k < x_stride; ++k) x.set(m * x_stride + k, k < c.K ? static_cast<float>(x_value(m, k)) : untouched);
  }
  for (int64_t row = 0; row < w_rows; ++row) {
    for (int64_t column = 0; column < w_stride; ++column) {
      const int64_t value = c.w_is_transposed ? w_value(column, row) : w_value(row, column);
      w.set(row * w_stride + column, column < w_columns ? static_cast<float>(value) : untouched);
    }
  }
  for (int64_t n = 0; n < c.N; ++n) bias.set(n, static_cast<float>(bias_value(n)));
  for (int64_t i = 0; i < c.M * y_stride; ++i) y.set(i, untouched);

  GemmArgs args{};
  args.type = c.type;
  args.x = x.data();
  args.x_row_stride = x_stride;
  args.w = w.data();
  args.w_row_stride = w_stride;
  args.bias = c.bias ? bias.data() : nullptr;
  args.y = y.data();
  args.y_row_stride = y_stride;
  args.M = c.M;
  args.N = c.N;
  args.K = c.K;
  args.workspace = workspace.data();
  args.w_is_transposed = c.w_is_transposed;
  if (cuda::gemm(args, context_of(0)) != Status::ok) return cuda::last_error();

  for (int64_t m = 0; m < c.M; ++m) {
    for (int64_t n = 0; n < y_stride; ++n) {
      int64_t expected = c.bias ? bias_value(n) : 0;
      for (int64_t k = 0; k < c.K; ++k) expected += x_value(m, k) * w_value(n, k);
      if (y.get(m * y_stride + n) != (n < c.N ? static_cast<float>(expected) : untouched)) {
        return "y[" + std::to_string(m) + ", " + std::to_string(n) + "] is " + std::to_string(y.get(m * y_stride + n));
      }
    }
  }
  return "";
}

class Gemm : public testing::Test {
 protected:
  void SetUp() override {
    fake().failing_call.clear();
    fake().algorithms = 1;
    fake().algorithm_state = CUBLAS_STATUS_SUCCESS;
    fake().products.clear();
    fake().complaints.clear();
  }
  void TearDown() override {
    EXPECT_EQ(fake().complaints, std::vector<std::string>());
    EXPECT_EQ(fake().live_descriptors, 0);
  }
};

TEST_F(Gemm, IsTheProductInEveryTypeAndSize) {
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    for (const int64_t M : {1, 2, 17}) {
      for (const int64_t N : {1, 3, 16}) {
        for (const int64_t K : {1, 5, 24}) {
          for (const bool bias : {false, true}) {
            for (const bool transposed : {false, true}) {
              Case c;
              c.type = type, c.M = M, c.N = N, c.K = K, c.bias = bias, c.w_is_transposed = transposed;
              EXPECT_EQ(multiply(c), "") << M << " " << N << " " << K << " bias " << bias << " transposed " << transposed;
            }
          }
        }
      }
    }
  }
}

TEST_F(Gemm, RowsMayLieApartAndBeginAnywhere) {
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    for (const int64_t gap : {0, 1, 9}) {
      for (const int64_t offset : {0, 1, 2, 3, 8, 128}) {
        for (int operand = 0; operand < 3; ++operand) {
          Case c;
          c.type = type;
          (operand == 0 ? c.x_gap : operand == 1 ? c.w_gap : c.y_gap) = gap;
          (operand == 0 ? c.x_offset : operand == 1 ? c.w_offset : c.y_offset) = offset;
          EXPECT_EQ(multiply(c), "") << "operand " << operand << " gap " << gap << " offset " << offset;
          c.w_is_transposed = true;
          EXPECT_EQ(multiply(c), "") << "operand " << operand << " gap " << gap << " offset " << offset << " transposed";
        }
      }
    }
  }
}

TEST_F(Gemm, OneRowMayHaveAnyStride) {
  for (const int64_t gap : {-5, -7, 4}) {  // x expanded has stride 0
    Case c;
    c.M = 1, c.x_gap = gap;
    if (gap < 0) {
      // The values are read without the stride; there is nothing but one row in memory.
      Elements x(c.type, c.K, 0), w(c.type, c.K, 0), y(c.type, 1, 0), workspace(FloatType::f32, 1, 0);
      for (int64_t k = 0; k < c.K; ++k) x.set(k, 1), w.set(k, static_cast<float>(k));
      GemmArgs args{c.type, x.data(), c.K + gap, w.data(), c.K + gap, nullptr, y.data(), 0, 1, 1, c.K, workspace.data()};
      ASSERT_EQ(cuda::gemm(args, context_of(0)), Status::ok) << cuda::last_error();
      EXPECT_EQ(y.get(0), 21);
    } else {
      EXPECT_EQ(multiply(c), "");
    }
  }
}

TEST_F(Gemm, AccumulatesInFp32AndInOneOrder) {
  for (const FloatType type : {FloatType::f32, FloatType::f16, FloatType::bf16}) {
    Case c;
    c.type = type;
    ASSERT_EQ(multiply(c), "");
    FakeCublasLt::Product& product = fake().products.back();
    EXPECT_EQ(product.compute_type, CUBLAS_COMPUTE_32F);  // CUBLAS_COMPUTE_32F_FAST_TF32 would be another
    EXPECT_EQ(product.scale_type, CUDA_R_32F);
    // In place, or in y's type, partial sums would be rounded to it.
    EXPECT_EQ(product.preferences.at(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK),
              uint64_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  }
}

std::string multiply_int8(int64_t M, int64_t N, int64_t K, int64_t x_gap, int64_t w_gap) {
  const int64_t x_stride = K + x_gap, w_stride = K + w_gap;
  constexpr int8_t not_read = 99;
  std::vector<int8_t> x(static_cast<size_t>(M * x_stride), not_read), w(static_cast<size_t>(N * w_stride), not_read);
  std::vector<int32_t> y(static_cast<size_t>(M * N), -1);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t k = 0; k < K; ++k) x[static_cast<size_t>(m * x_stride + k)] = static_cast<int8_t>(x_value(m, k) * 42);
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k)
      w[static_cast<size_t>(n * w_stride + k)] = static_cast<int8_t>(w_value(n, k) * 64);  // -128 is one
  Elements workspace(FloatType::f32, 1, 0);
  const cuda::Int8GemmArgs args{x.data(), x_stride, w.data(), w_stride, y.data(), M, N, K, workspace.data()};
  EXPECT_TRUE(cuda::supports_int8_gemm(args));
  if (cuda::int8_gemm(args, context_of(0)) != Status::ok) return cuda::last_error();
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < N; ++n) {
      int64_t expected = 0;
      for (int64_t k = 0; k < K; ++k)
        expected += int64_t{x[static_cast<size_t>(m * x_stride + k)]} * w[static_cast<size_t>(n * w_stride + k)];
      if (y[static_cast<size_t>(m * N + n)] != expected)
        return "y[" + std::to_string(m) + ", " + std::to_string(n) + "] is wrong";
    }
  }
  return "";
}

TEST_F(Gemm, OfInt8IsTheIntegerProduct) {
  for (const int64_t M : {1, 2, 17}) {
    for (const int64_t N : {4, 20}) {
      for (const int64_t K : {4, 24}) {
        for (const int64_t gap : {0, 4, 104}) EXPECT_EQ(multiply_int8(M, N, K, gap, 2 * gap), "") << M << " " << N << " " << K;
      }
    }
  }
  EXPECT_EQ(fake().products.back().compute_type, CUBLAS_COMPUTE_32I);
}

TEST_F(Gemm, OfInt8TakesMultiplesOf4Only) {
  alignas(16) int8_t operand[64] = {};
  alignas(16) int32_t y[16] = {};
  const cuda::Int8GemmArgs good{operand, 8, operand, 8, y, 2, 4, 8, nullptr};
  ASSERT_TRUE(cuda::supports_int8_gemm(good));
  for (int i = 0; i < 6; ++i) {
    cuda::Int8GemmArgs bad = good;
    if (i == 0) bad.x += 2;
    if (i == 1) bad.w += 1;
    if (i == 2) bad.x_row_stride = 10;
    if (i == 3) bad.w_row_stride = 9;
    if (i == 4) bad.N = 3;
    if (i == 5) bad.K = 6;
    EXPECT_FALSE(cuda::supports_int8_gemm(bad)) << i;
  }
}

TEST_F(Gemm, GivesItsStreamAndItsWorkspace) {
  ASSERT_EQ(multiply({}), "");
  FakeCublasLt::Product& product = fake().products.back();
  EXPECT_EQ(product.stream, some_stream);
  EXPECT_EQ(product.workspace_bytes, size_t{cuda::gemm_workspace_bytes});
}

TEST_F(Gemm, EveryFailureNamesTheCallAndLeaksNothing) {
  ASSERT_EQ(multiply({}), "");  // the context is there
  for (const char* call : {"cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
                           "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute",
                           "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul"}) {
    fake().failing_call = call;
    EXPECT_EQ(multiply({}), std::string(call) + " says: the requested functionality is not supported");
    EXPECT_EQ(fake().live_descriptors, 0) << call;
  }
  fake().failing_call.clear();
  fake().algorithm_state = CUBLAS_STATUS_NOT_SUPPORTED;
  EXPECT_EQ(multiply({}), "cublasLtMatmulAlgoGetHeuristic says: the requested functionality is not supported");
  fake().algorithms = 0;
  EXPECT_EQ(multiply({}), "cublasLtMatmulAlgoGetHeuristic says: there is no algorithm for these sizes and strides");
}

TEST_F(Gemm, RefusesABiasThatKernelsCouldNotRead) {
  Elements operand(FloatType::bf16, 64, 0), workspace(FloatType::f32, 1, 0);
  GemmArgs args{FloatType::bf16,
                operand.data(),
                8,
                operand.data(),
                8,
                static_cast<const uint8_t*>(operand.data()) + 2,
                operand.data(),
                8,
                1,
                8,
                8,
                workspace.data()};
  EXPECT_EQ(cuda::gemm(args, context_of(0)), Status::cublaslt_failed);
  EXPECT_EQ(cuda::last_error(), "gemm says: the bias is not aligned to 16 bytes");
  EXPECT_TRUE(fake().products.empty());
}

// In numbers of devices that no other test uses: contexts live as long as the process.
TEST_F(Gemm, EachDeviceHasOneContextWhoeverCallsFirst) {
  const size_t before = fake().contexts.size();
  fake().failing_call = "cublasLtCreate";
  Elements memory(FloatType::f32, 64, 0);
  const GemmArgs args{FloatType::f32, memory.data(), 1, memory.data(), 1, nullptr, memory.data(), 1, 1, 1, 1, memory.data()};
  EXPECT_EQ(cuda::gemm(args, context_of(7)), Status::cublaslt_failed);
  EXPECT_EQ(cuda::last_error(), "cublasLtCreate says: the requested functionality is not supported");

  fake().failing_call.clear();  // and is tried again
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      Elements own(FloatType::f32, 64, 0);
      const GemmArgs mine{FloatType::f32, own.data(), 1, own.data(), 1, nullptr, own.data(), 1, 1, 1, 1, own.data()};
      EXPECT_EQ(cuda::gemm(mine, context_of(7 + i % 2)), Status::ok);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fake().contexts.size(), before + 2);
  ASSERT_EQ(fake().products.size(), 8u);
  fake().products.clear();
  ASSERT_EQ(cuda::gemm(args, context_of(7)), Status::ok);
  ASSERT_EQ(cuda::gemm(args, context_of(8)), Status::ok);
  EXPECT_NE(fake().products[0].context, fake().products[1].context);
}

}  // namespace
}  // namespace torchao_ops::test
