// csrc/cuda/gemm.cpp against a libcublasLt that multiplies in host memory: what it asks for is what the contract says, in every layout, and it
// asks in the way that the library's header demands.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
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
    fake().is_older = false;
    fake().questions = 0;
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
  Case c;
  c.K = 1000;  // of no other test: what the heuristic says is kept
  for (const char* call :
       {"cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic"}) {
    fake().failing_call = call;
    EXPECT_EQ(multiply(c), std::string(call) + " says: the requested functionality is not supported");
    EXPECT_EQ(fake().live_descriptors, 0) << call;
  }
  fake().failing_call = "cublasLtMatmul";
  EXPECT_EQ(multiply({}), "cublasLtMatmul says: the requested functionality is not supported");
  fake().failing_call.clear();
  fake().algorithm_state = CUBLAS_STATUS_NOT_SUPPORTED;
  c.K = 1001;
  EXPECT_EQ(multiply(c), "cublasLtMatmulAlgoGetHeuristic says: the requested functionality is not supported");
  fake().algorithms = 0;
  c.K = 1002;
  EXPECT_EQ(multiply(c), "cublasLtMatmulAlgoGetHeuristic says: there is no algorithm for these sizes and strides");
}

// Shapes of no other test.
TEST_F(Gemm, AsksOnceForEachShapeTypeAndAlignment) {
  std::vector<Case> cases(9);
  for (Case& c : cases) c.K = 2000;
  cases[1].M = 4, cases[2].N = 6, cases[3].K = 2001, cases[4].type = FloatType::f16, cases[5].bias = false;
  cases[6].x_offset = 1, cases[7].w_gap = 1, cases[8].y_gap = 2;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < cases.size(); ++i) {
      EXPECT_EQ(multiply(cases[i]), "") << i;
      EXPECT_EQ(fake().questions, round == 0 ? static_cast<int>(i) + 1 : static_cast<int>(cases.size())) << i;
    }
  }
  // What failed for another reason than that there is no algorithm is asked again.
  Case c;
  c.K = 2002;
  fake().algorithm_state = CUBLAS_STATUS_ALLOC_FAILED;
  EXPECT_EQ(multiply(c), "cublasLtMatmulAlgoGetHeuristic says: another failure");
  fake().algorithm_state = CUBLAS_STATUS_SUCCESS;
  EXPECT_EQ(multiply(c), "");
}

TEST_F(Gemm, KeepsThousandsOfChoicesAndNoMore) {
  Elements memory(FloatType::f32, 8192, 0);
  const auto ask = [&](int64_t n) {
    const GemmArgs args{FloatType::f32, memory.data(), 1, memory.data(), 1, nullptr, memory.data(), n, 1, n, 1, memory.data()};
    return cuda::gemm(args, context_of(0));
  };
  for (int64_t n = 3000; n < 3000 + 4096; ++n) ASSERT_EQ(ask(n), Status::ok);
  const int before = fake().questions;
  ASSERT_EQ(ask(3000 + 4095), Status::ok);
  EXPECT_EQ(fake().questions, before);
  for (int64_t n = 3000; n < 3000 + 4096; ++n) ASSERT_EQ(ask(n), Status::ok);
  EXPECT_GT(fake().questions, before);
}

TEST_F(Gemm, SumsOf16BitOperandsMayStayFp32) {
  Elements x(FloatType::bf16, 3 * 200, 0), w(FloatType::bf16, 4 * 200, 0), y(FloatType::f32, 12, 0),
      workspace(FloatType::f32, 1, 0);
  for (int64_t i = 0; i < 3 * 200; ++i) x.set(i, static_cast<float>(i % 7 + 1));
  for (int64_t i = 0; i < 4 * 200; ++i) w.set(i, static_cast<float>(i % 5 + 1));
  GemmArgs args{FloatType::bf16, x.data(), 200, w.data(), 200, nullptr, y.data(), 4, 3, 4, 200, workspace.data()};
  args.y_is_f32 = true;
  ASSERT_EQ(cuda::gemm(args, context_of(0)), Status::ok) << cuda::last_error();
  for (int64_t m = 0; m < 3; ++m) {
    for (int64_t n = 0; n < 4; ++n) {
      int64_t expected = 0;
      for (int64_t k = 0; k < 200; ++k) expected += ((m * 200 + k) % 7 + 1) * ((n * 200 + k) % 5 + 1);
      EXPECT_EQ(y.get(m * 4 + n), static_cast<float>(expected));  // which bf16 does not hold
    }
  }
}

// An fp8 product, in memory as fp8_gemm wants it.
class Fp8Product {
 public:
  using Scaling = cuda::Fp8GemmScaling;
  Fp8Product(int64_t M, int64_t N, int64_t K, Float8Type x_type, Float8Type w_type, Scaling x_scaling, Scaling w_scaling)
      : M_(M),
        N_(N),
        K_(K),
        x_(FloatType::f16, (M * K + 1) / 2, 0),
        w_(FloatType::f16, (N * K + 1) / 2, 0),
        x_scale_(FloatType::f32, scales(M, x_scaling), 0),
        w_scale_(FloatType::f32, scales(N, w_scaling), 0),
        y_(FloatType::f32, M * N, 0),
        workspace_(FloatType::f32, 1, 0) {
    for (int64_t i = 0; i < M * K; ++i) store_float8(static_cast<float>(x_value(i / K, i % K)), x_.data(), x_type, i);
    for (int64_t i = 0; i < N * K; ++i) store_float8(static_cast<float>(w_value(i / K, i % K)), w_.data(), w_type, i);
    for (int64_t i = 0; i < scales(M, x_scaling); ++i) x_scale_.set(i, static_cast<float>(1 << i % 5));
    for (int64_t i = 0; i < scales(N, w_scaling); ++i) w_scale_.set(i, static_cast<float>(1 << i % 3));
    args.x = {x_type, x_.data(), K, x_scaling, scale(x_scale_, x_scaling)};
    args.w = {w_type, w_.data(), K, w_scaling, scale(w_scale_, w_scaling)};
    args.y = static_cast<float*>(y_.data());
    args.M = M;
    args.N = N;
    args.K = K;
    args.workspace = workspace_.data();
  }

  std::string multiply() {
    if (cuda::fp8_gemm(args, hopper()) != Status::ok) return cuda::last_error();
    for (int64_t m = 0; m < M_; ++m) {
      for (int64_t n = 0; n < N_; ++n) {
        double expected = 0;
        for (int64_t k = 0; k < K_; ++k) {
          expected +=
              static_cast<double>(x_value(m, k) * w_value(n, k)) * scale_at(args.x, M_, m, k) * scale_at(args.w, N_, n, k);
        }
        if (y_.get(m * N_ + n) != static_cast<float>(expected)) return "y[" + std::to_string(m) + ", " + std::to_string(n) + "]";
      }
    }
    return "";
  }

  static Context hopper() {
    Context context = context_of(0);
    context.device.compute_capability = 90;
    return context;
  }

  cuda::Fp8GemmArgs args{};

 private:
  int64_t scales(int64_t rows, Scaling scaling) const {
    return scaling == Scaling::none    ? 0
           : scaling == Scaling::group ? rows * ((K_ + 127) / 128)
                                       : (rows + 127) / 128 * cuda::fp8_gemm_block_stride(K_);
  }
  static const float* scale(const Elements& elements, Scaling scaling) {
    return scaling == Scaling::none ? nullptr : static_cast<const float*>(elements.data());
  }
  double scale_at(const cuda::Fp8GemmOperand& operand, int64_t rows, int64_t row, int64_t k) const {
    switch (operand.scaling) {
      case Scaling::none: break;
      case Scaling::group: return operand.scale[k / 128 * rows + row];
      case Scaling::block: return operand.scale[row / 128 * ((K_ + 511) / 512 * 4) + k / 128];
    }
    return 1;
  }

  int64_t M_, N_, K_;
  Elements x_, w_, x_scale_, w_scale_, y_, workspace_;
};

constexpr Float8Type e4m3fn = Float8Type::e4m3fn, e5m2 = Float8Type::e5m2;
using Scaling = cuda::Fp8GemmScaling;

TEST_F(Gemm, OfFp8IsTheProductWithEachPairOfScalings) {
  for (const auto& [x_type, w_type] : {std::pair{e4m3fn, e4m3fn}, std::pair{e5m2, e4m3fn}, std::pair{e4m3fn, e5m2}}) {
    for (const auto& [x_scaling, w_scaling] :
         {std::pair{Scaling::none, Scaling::none}, std::pair{Scaling::group, Scaling::group},
          std::pair{Scaling::group, Scaling::block}, std::pair{Scaling::block, Scaling::group}}) {
      for (const int64_t M : {4, 132}) {
        Fp8Product product(M, 144, 272, x_type, w_type, x_scaling, w_scaling);
        EXPECT_TRUE(cuda::supports_fp8_gemm(product.args, Fp8Product::hopper()));
        EXPECT_EQ(product.multiply(), "") << M << " " << static_cast<int>(x_scaling) << " " << static_cast<int>(w_scaling);
      }
    }
  }
  const FakeCublasLt::Product& last = fake().products.back();
  EXPECT_EQ(last.compute_type, CUBLAS_COMPUTE_32F);
  EXPECT_EQ(last.attributes.at(CUBLASLT_MATMUL_DESC_FAST_ACCUM), 0u);
  EXPECT_EQ(last.attributes.at(CUBLASLT_MATMUL_DESC_A_SCALE_MODE), uint64_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F});
  EXPECT_EQ(last.attributes.at(CUBLASLT_MATMUL_DESC_B_SCALE_MODE), uint64_t{CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F});
  EXPECT_EQ(last.stream, some_stream);
}

TEST_F(Gemm, OfFp8WithoutScalesSetsNoModesAndTakesAnyNumberOfRows) {
  for (const int64_t M : {1, 3, 17}) {
    Fp8Product product(M, 16, 32, e4m3fn, e5m2, Scaling::none, Scaling::none);
    EXPECT_EQ(product.multiply(), "");
    EXPECT_EQ(fake().products.back().attributes.count(CUBLASLT_MATMUL_DESC_A_SCALE_MODE), 0u);
    EXPECT_EQ(fake().products.back().attributes.count(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER), 0u);
  }
}

TEST_F(Gemm, OfFp8TakesWhatTheGuideSays) {
  const Fp8Product good(4, 16, 256, e4m3fn, e4m3fn, Scaling::group, Scaling::block);
  cuda::Device device{};
  device.compute_capability = 90;
  ASSERT_TRUE(cuda::fp8_gemm_takes(good.args, device));
  for (int i = 0; i < 12; ++i) {
    cuda::Fp8GemmArgs bad = good.args;
    if (i == 0) bad.x.codes = static_cast<const uint8_t*>(bad.x.codes) + 8;
    if (i == 1) bad.w.codes = static_cast<const uint8_t*>(bad.w.codes) + 1;
    if (i == 2) bad.x.row_stride += 8;
    if (i == 3) bad.w.row_stride += 1;
    if (i == 4) bad.N = 12;
    if (i == 5) bad.K = 248;
    if (i == 6) bad.M = 3;
    if (i == 7) bad.x.type = bad.w.type = e5m2;
    if (i == 8) bad.x.scaling = Scaling::block;
    if (i == 9) bad.w.scaling = Scaling::none;
    if (i == 10) bad.w.scale += 1;
    if (i == 11) bad.y += 1;
    EXPECT_FALSE(cuda::fp8_gemm_takes(bad, device)) << i;
  }
  for (const auto& [capability, scaled, plain] :
       {std::tuple{80, false, false}, std::tuple{89, false, true}, std::tuple{90, true, true}, std::tuple{100, false, true}}) {
    device.compute_capability = capability;
    EXPECT_EQ(cuda::fp8_gemm_takes(good.args, device), scaled) << capability;
    cuda::Fp8GemmArgs args = good.args;
    args.x.scaling = args.w.scaling = Scaling::none;
    EXPECT_EQ(cuda::fp8_gemm_takes(args, device), plain) << capability;
  }
}

// Sizes of no other test.
TEST_F(Gemm, OfFp8IsNotSupportedWhereTheLibraryRefuses) {
  Fp8Product scaled(4, 32, 4096, e4m3fn, e4m3fn, Scaling::group, Scaling::block),
      plain(4, 32, 4096, e4m3fn, e4m3fn, Scaling::none, Scaling::none);
  fake().is_older = true;
  EXPECT_FALSE(cuda::supports_fp8_gemm(scaled.args, Fp8Product::hopper()));
  EXPECT_EQ(scaled.multiply(), "cublasLtMatmulDescSetAttribute says: another failure");
  EXPECT_TRUE(cuda::supports_fp8_gemm(plain.args, Fp8Product::hopper()));
  EXPECT_EQ(plain.multiply(), "");
  fake().is_older = false;
  EXPECT_TRUE(cuda::supports_fp8_gemm(scaled.args, Fp8Product::hopper()));
  EXPECT_EQ(scaled.multiply(), "");

  Fp8Product other(4, 32, 8192, e4m3fn, e4m3fn, Scaling::none, Scaling::none);
  fake().algorithms = 0;
  fake().questions = 0;
  EXPECT_FALSE(cuda::supports_fp8_gemm(other.args, Fp8Product::hopper()));
  EXPECT_FALSE(cuda::supports_fp8_gemm(other.args, Fp8Product::hopper()));
  EXPECT_EQ(other.multiply(), "cublasLtMatmulAlgoGetHeuristic says: there is no algorithm for these sizes and strides");
  EXPECT_EQ(fake().questions, 1) << "a refusal is kept, too";
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
