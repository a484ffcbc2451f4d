// The operators on CUDA tensors, from torch's dispatcher to the kernels, run on the host: which device, which stream, how much workspace, what is
// copied, what an error says. That the kernels compute what they should is tested elsewhere.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/cuda/gemm.h"
#include "csrc/ops/torchao_ops.h"
#include "tests/cpp/cuda_operators/fake_torch_cuda.h"

namespace torchao_ops {

// In place of cuBLASLt: what a product was asked for with, and its answer in loops.
namespace test {
struct Gemm {
  cuda::GemmArgs args;
  cuda::Context context;
};
std::vector<Gemm> gemms;
}  // namespace test

namespace cuda {

bool gemm_is_available() { return true; }

Status gemm(const GemmArgs& args, const Context& context) {
  test::gemms.push_back({args, context});
  for (int64_t m = 0; m < args.M; ++m) {
    for (int64_t n = 0; n < args.N; ++n) {
      double sum = args.bias == nullptr ? 0 : load_float(args.bias, args.type, n);
      for (int64_t k = 0; k < args.K; ++k) {
        sum += double{load_float(args.x, args.type, m * args.x_row_stride + k)} *
               load_float(args.w, args.type, args.w_is_transposed ? k * args.w_row_stride + n : n * args.w_row_stride + k);
      }
      store_float(static_cast<float>(sum), args.y, args.y_is_f32 ? FloatType::f32 : args.type, m * args.y_row_stride + n);
    }
  }
  return Status::ok;
}

}  // namespace cuda

namespace test {
namespace {

using at::Tensor;
constexpr int64_t group_size = 32, nested_block_size = 16;

using Tensors = std::vector<Tensor>;  // the tensor arguments, in their order

Tensors int4_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  const int64_t groups = (K + group_size - 1) / group_size;
  return {at::randn({M, K}).to(dtype), at::randint(0, 256, {N, (K + 1) / 2}, at::kByte),
          (at::rand({N, groups}) * 0.02 + 0.001).to(dtype), at::randint(0, 16, {N, groups}).to(dtype), at::randn({N}).to(dtype)};
}
Tensors int8_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  const int64_t groups = (K + group_size - 1) / group_size;
  return {at::randn({M, K}).to(dtype), at::randint(-128, 128, {N, K}, at::kChar),
          (at::rand({N, groups}) * 0.001 + 0.0001).to(dtype), at::randn({N}).to(dtype)};
}
// With a scale for each row or, in blocks, a matrix of them.
template <at::ScalarType code_type, bool blocks>
Tensors fp8_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  const Tensor scale = blocks ? at::rand({(N + 127) / 128, (K + 127) / 128}) : at::rand({N});
  return {at::randn({M, K}).to(dtype), at::randn({N, K}).to(code_type), (scale * 0.1 + 0.01).to(dtype), at::randn({N}).to(dtype)};
}
Tensors nf4_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  const int64_t blocks = (N * K + group_size - 1) / group_size;
  return {at::randn({M, K}).to(dtype), at::randint(0, 256, {(N * K + 1) / 2}, at::kByte),
          (at::rand({blocks}) * 0.1 + 0.01).to(dtype), at::randn({N}).to(dtype)};
}
Tensors nested_nf4_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  Tensors operands = nf4_operands(M, N, K, dtype);
  const auto [codes, absmax_code, nested_absmax, offset] = nf4_quantize_absmax(operands[2], nested_block_size);
  operands[2] = codes;
  operands.insert(operands.end(), {absmax_code, nested_absmax, offset.view({1})});
  return operands;
}

// Values of a type of their own, or of x's.
template <at::ScalarType value_type>
Tensors sparse24_operands(int64_t M, int64_t N, int64_t K, at::ScalarType dtype) {
  const bool is_int8 = value_type == at::kChar;
  const Tensor weight = is_int8 ? at::randint(-128, 128, {N, K}, at::kChar)
                                : at::randn({N, K}).to(value_type == at::ScalarType::Undefined ? dtype : value_type);
  const auto [values, bitmask] = sparse24_compress(weight, sparse24_prune(weight));
  return {at::randn({M, K}).to(dtype), values, bitmask, (at::rand({N}) * 0.1 + 0.01).to(dtype), at::randn({N}).to(dtype)};
}

struct NamedProduct {
  const char* name;
  std::vector<std::string> arguments;
  Tensor (*call)(const Tensors&);
  Tensors (*random_operands)(int64_t M, int64_t N, int64_t K, at::ScalarType dtype);
};
const NamedProduct products[] = {
    {"fp8_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return fp8_mm(t[0], t[1], t[2], t[3]); },
     fp8_operands<at::kFloat8_e4m3fn, false>},
    {"fp8_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return fp8_mm(t[0], t[1], t[2], t[3]); },
     fp8_operands<at::kFloat8_e5m2, true>},
    {"fp8_dynamic_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return fp8_dynamic_mm(t[0], t[1], t[2], t[3]); },
     fp8_operands<at::kFloat8_e4m3fn, true>},
    {"fp8_dynamic_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return fp8_dynamic_mm(t[0], t[1], t[2], t[3]); },
     fp8_operands<at::kFloat8_e5m2, false>},
    {"int4_mm",
     {"x", "weight_packed", "weight_scale", "weight_zero_point", "bias"},
     [](const Tensors& t) { return int4_mm(t[0], t[1], t[2], t[3], group_size, t[4]); },
     int4_operands},
    {"int4_dynamic_mm",
     {"x", "weight_packed", "weight_scale", "weight_zero_point", "bias"},
     [](const Tensors& t) { return int4_dynamic_mm(t[0], t[1], t[2], t[3], group_size, t[4]); },
     int4_operands},
    {"int8_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return int8_mm(t[0], t[1], t[2], group_size, t[3]); },
     int8_operands},
    {"int8_dynamic_mm",
     {"x", "weight", "weight_scale", "bias"},
     [](const Tensors& t) { return int8_dynamic_mm(t[0], t[1], t[2], group_size, t[3]); },
     int8_operands},
    {"nf4_mm",
     {"x", "weight_packed", "absmax", "bias"},
     [](const Tensors& t) { return nf4_mm(t[0], t[1], t[2], t[3].size(0), group_size, t[3]); },
     nf4_operands},
    {"nf4_mm",
     {"x", "weight_packed", "absmax", "bias", "absmax_code", "nested_absmax", "absmax_offset"},
     [](const Tensors& t) {
       return nf4_mm(t[0], t[1], t[2], t[3].size(0), group_size, t[3], t[4], t[5], t[6], nested_block_size);
     },
     nested_nf4_operands},
    {"sparse24_mm",
     {"x", "values", "bitmask", "weight_scale", "bias"},
     [](const Tensors& t) { return sparse24_mm(t[0], t[1], t[2], t[3], t[4]); },
     sparse24_operands<at::ScalarType::Undefined>},
    {"sparse24_mm",
     {"x", "values", "bitmask", "weight_scale", "bias"},
     [](const Tensors& t) { return sparse24_mm(t[0], t[1], t[2], t[3], t[4]); },
     sparse24_operands<at::kChar>},
    {"sparse24_dynamic_mm",
     {"x", "values", "bitmask", "weight_scale", "bias"},
     [](const Tensors& t) { return sparse24_dynamic_mm(t[0], t[1], t[2], t[3], t[4]); },
     sparse24_operands<at::kChar>},
    {"sparse24_dynamic_mm",
     {"x", "values", "bitmask", "weight_scale", "bias"},
     [](const Tensors& t) { return sparse24_dynamic_mm(t[0], t[1], t[2], t[3], t[4]); },
     sparse24_operands<at::kFloat8_e4m3fn>},
};

Tensors on_cuda(const Tensors& tensors, int index = 0) {
  Tensors moved;
  for (const Tensor& tensor : tensors) moved.push_back(to_cuda(tensor, index));
  return moved;
}

double relative_error(const Tensor& got, const Tensor& expected) {
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).norm() / expected.to(at::kDouble).norm()).item<double>();
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return text.substr(0, text.find('\n'));
  }
  return "no error";
}

// Rows of x for which there are different algorithms: tensor cores in each shape of block, ordinary cores, dequantize and multiply.
const int64_t rows_of_algorithms[] = {1, 5, 12, 30, 50, 140};

class CudaOperators : public testing::Test {
 protected:
  void SetUp() override {
    gemms.clear();
    asked_for_stream().clear();
  }
  void TearDown() override {
    int current = -1;
    cudaGetDevice(&current);
    EXPECT_EQ(current, 0) << "the device that was current is not again";
  }
};

TEST_F(CudaOperators, ProductsAreThoseOfTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const int64_t M : rows_of_algorithms) {
      for (const int64_t K : {70, 128}) {
        for (const NamedProduct& product : products) {
          const Tensors operands = product.random_operands(M, 41, K, dtype);
          const Tensor y = product.call(on_cuda(operands));
          EXPECT_TRUE(y.is_cuda());
          EXPECT_EQ(y.scalar_type(), dtype);
          // Each is rounded to dtype once; where the weight is dequantized, that is rounded, too.
          const double limit = dtype == at::kFloat ? 1e-6 : dtype == at::kHalf ? 2e-3 : 1.6e-2;
          EXPECT_LT(relative_error(to_cpu(y), product.call(operands)), limit) << product.name << " " << M << " " << K;
        }
      }
    }
  }
  EXPECT_FALSE(gemms.empty()) << "no case was one of dequantize and multiply";
}

TEST_F(CudaOperators, QuantizedAndDequantizedWeightsAreBitForBitThoseOfTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const bool symmetric : {false, true}) {
      const Tensor weight = at::randn({9, 70}).to(dtype), cuda_weight = to_cuda(weight);
      const auto [packed, scale, zero_point] = int4_quantize(weight, group_size, symmetric);
      const auto [cuda_packed, cuda_scale, cuda_zero_point] = int4_quantize(cuda_weight, group_size, symmetric);
      EXPECT_TRUE(at::equal(to_cpu(cuda_packed), packed));
      EXPECT_TRUE(at::equal(to_cpu(cuda_scale), scale));
      EXPECT_TRUE(at::equal(to_cpu(cuda_zero_point), zero_point));
      EXPECT_TRUE(at::equal(to_cpu(int4_dequantize(cuda_packed, cuda_scale, cuda_zero_point, group_size, 70)),
                            int4_dequantize(packed, scale, zero_point, group_size, 70)));
    }
    for (const int64_t size : {int64_t{0}, group_size}) {
      const Tensor weight = at::randn({9, 70}).to(dtype);
      const auto [codes, scale] = int8_quantize(weight, size);
      const auto [cuda_codes, cuda_scale] = int8_quantize(to_cuda(weight), size);
      EXPECT_TRUE(at::equal(to_cpu(cuda_codes), codes));
      EXPECT_TRUE(at::equal(to_cpu(cuda_scale), scale));
      EXPECT_TRUE(at::equal(to_cpu(int8_dequantize(cuda_codes, cuda_scale, size)), int8_dequantize(codes, scale, size)));
    }
    for (const int64_t K : {70, 71}) {
      const Tensor weight = at::randn({9, K}).to(dtype);
      const auto [packed, absmax] = nf4_quantize(weight);
      const auto [cuda_packed, cuda_absmax] = nf4_quantize(to_cuda(weight));
      EXPECT_TRUE(at::equal(to_cpu(cuda_packed), packed));
      EXPECT_TRUE(at::equal(to_cpu(cuda_absmax), absmax));
      EXPECT_TRUE(at::equal(to_cpu(nf4_dequantize(cuda_packed, cuda_absmax, {9, K})), nf4_dequantize(packed, absmax, {9, K})));
      Tensor out = to_cuda(at::zeros({9, K}, dtype));
      nf4_dequantize_out(out, cuda_packed, cuda_absmax, {9, K});
      EXPECT_TRUE(at::equal(to_cpu(out), nf4_dequantize(packed, absmax, {9, K}).to(dtype)));
      const auto [codes, code, nested, offset] = nf4_quantize_absmax(absmax);
      const auto [cuda_codes, cuda_code, cuda_nested, cuda_offset] = nf4_quantize_absmax(cuda_absmax);
      for (const auto& [cuda, cpu] :
           {std::pair{cuda_codes, codes}, {cuda_code, code}, {cuda_nested, nested}, {cuda_offset, offset}}) {
        EXPECT_TRUE(at::equal(to_cpu(cuda), cpu));
      }
      const Tensor nested_weight =
          nf4_dequantize(cuda_packed, cuda_codes, {9, K}, 64, std::nullopt, cuda_code, cuda_nested, cuda_offset);
      EXPECT_TRUE(
          at::equal(to_cpu(nested_weight), nf4_dequantize(packed, codes, {9, K}, 64, std::nullopt, code, nested, offset)));
    }
  }
}

Tensor bytes_of(const Tensor& tensor) { return to_cpu(tensor).contiguous().view(at::kByte); }

constexpr const char* granularities[] = {"tensor", "row", "block", "group"};

TEST_F(CudaOperators, Fp8MatricesAreByteForByteThoseOfTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const at::ScalarType code_dtype : {at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
      for (const char* granularity : granularities) {
        const Tensor input = at::randn({300, 150}).to(dtype).t();
        const auto [codes, scale] = fp8_quantize(input, code_dtype, granularity);
        const auto [cuda_codes, cuda_scale] = fp8_quantize(to_cuda(input), code_dtype, granularity);
        EXPECT_TRUE(at::equal(bytes_of(cuda_codes), bytes_of(codes))) << granularity;
        EXPECT_TRUE(at::equal(to_cpu(cuda_scale), scale)) << granularity;
      }
    }
  }
}

Tensors scaled_operands(int64_t M, int64_t N, int64_t K, at::ScalarType a_dtype, const char* a_granularity,
                        const char* b_granularity) {
  const auto [a, scale_a] = fp8_quantize(at::randn({M, K}), a_dtype, a_granularity);
  const auto [b, scale_b] = fp8_quantize(at::randn({N, K}).to(at::kBFloat16), at::kFloat8_e4m3fn, b_granularity);
  return {a, b, scale_a, scale_b, at::randn({N})};
}
Tensor scaled_mm(const Tensors& t, at::ScalarType out_dtype = at::kFloat) {
  return fp8_scaled_mm(t[0], t[1], t[2], t[3], t[4], out_dtype);
}

TEST_F(CudaOperators, ScaledProductsAreThoseOfTheCpu) {
  for (const at::ScalarType a_dtype : {at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
    for (const char* a_granularity : granularities) {
      for (const char* b_granularity : granularities) {
        for (const auto& [M, N, K] : {std::tuple{5, 41, 150}, std::tuple{132, 48, 160}}) {
          const Tensors operands = scaled_operands(M, N, K, a_dtype, a_granularity, b_granularity), cuda = on_cuda(operands);
          const Tensor y = to_cpu(scaled_mm(cuda)), expected = scaled_mm(operands);
          EXPECT_LT(relative_error(y, expected), 1e-6) << a_granularity << " " << b_granularity << " " << M;
          for (const at::ScalarType out_dtype : {at::kHalf, at::kBFloat16}) {
            EXPECT_TRUE(at::equal(to_cpu(scaled_mm(cuda, out_dtype)), y.to(out_dtype)));
          }
          Tensors turned = cuda;
          for (const size_t i : {0, 1}) turned[i] = to_cuda(operands[i].t().contiguous()).transpose(0, 1);
          EXPECT_TRUE(at::equal(to_cpu(scaled_mm(turned)), y));
        }
      }
    }
  }
  for (const auto& [M, N, K] : {std::tuple{0, 5, 70}, std::tuple{3, 0, 70}, std::tuple{3, 5, 0}}) {
    const Tensors operands = scaled_operands(M, N, K, at::kFloat8_e4m3fn, "row", "tensor");
    EXPECT_TRUE(at::equal(to_cpu(scaled_mm(on_cuda(operands))), scaled_mm(operands)));
  }
  const Tensors cpu = scaled_operands(3, 5, 64, at::kFloat8_e4m3fn, "row", "row"), cuda = on_cuda(cpu);
  const char* names[] = {"a", "b", "scale_a", "scale_b", "bias"};
  for (size_t i = 1; i < cpu.size(); ++i) {
    Tensors mixed = cuda;
    mixed[i] = cpu[i];
    EXPECT_EQ(error_of([&] { scaled_mm(mixed); }),
              std::string("fp8_scaled_mm: ") + names[i] + " must be on a's device cuda:0, but got cpu");
  }
}

TEST_F(CudaOperators, Fp8WeightsAreDequantizedAsOnTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const auto& [codes_dtype, granularity] : {std::pair{at::kFloat8_e4m3fn, "tensor"},
                                                   {at::kFloat8_e5m2, "row"},
                                                   {at::kFloat8_e4m3fn, "block"},
                                                   {at::kFloat8_e5m2, "group"}}) {
      const auto [codes, scale] = fp8_quantize(at::randn({150, 300}).to(dtype), codes_dtype, granularity);
      const Tensor expected = fp8_dequantize(codes, scale);
      EXPECT_TRUE(at::equal(to_cpu(fp8_dequantize(to_cuda(codes), to_cuda(scale))), expected)) << granularity;
      const Tensor by_columns = to_cuda(scale.dim() == 2 ? scale.t().contiguous() : scale);
      EXPECT_TRUE(at::equal(to_cpu(fp8_dequantize(to_cuda(codes), scale.dim() == 2 ? by_columns.transpose(0, 1) : by_columns)),
                            expected));
    }
  }
}

TEST_F(CudaOperators, SparseWeightsAreByteForByteThoseOfTheCpu) {
  const auto bytes = [](const Tensor& tensor) { return to_cpu(tensor).contiguous().view(at::kByte); };
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16, at::kChar, at::kFloat8_e4m3fn}) {
    for (const int64_t K : {64, 70, 71}) {
      const Tensor weight = (at::randn({9, K}) * 3).to(dtype), mask = sparse24_prune(weight);
      EXPECT_TRUE(at::equal(to_cpu(sparse24_prune(to_cuda(weight))), mask));
      const auto [values, bitmask] = sparse24_compress(weight, mask);
      const auto [cuda_values, cuda_bitmask] = sparse24_compress(to_cuda(weight), to_cuda(mask));
      EXPECT_TRUE(at::equal(bytes(cuda_values), bytes(values)));
      EXPECT_TRUE(at::equal(to_cpu(cuda_bitmask), bitmask));
      const Tensor pruned = sparse24_decompress(values, bitmask, K);
      EXPECT_TRUE(at::equal(bytes(sparse24_decompress(cuda_values, cuda_bitmask, K)), bytes(pruned)));
      EXPECT_TRUE(
          at::equal(bytes(std::get<0>(sparse24_compress(to_cuda(pruned)))), bytes(std::get<0>(sparse24_compress(pruned)))));
    }
  }
}

// What prepares a weight waits for the device to say where; products do not.
TEST_F(CudaOperators, ViolationsOfTwoOfFour) {
  const std::string end = " must keep at most two of each four elements of a row, but row 1 keeps more of the elements 4 to 7";
  Tensor weight = at::zeros({2, 8});
  weight[1].slice(0, 4, 7).fill_(1);
  EXPECT_EQ(error_of([&] { sparse24_compress(to_cuda(weight)); }), "sparse24_compress: weight" + end);
  EXPECT_EQ(error_of([&] { sparse24_compress(to_cuda(weight), to_cuda(weight != 0)); }), "sparse24_compress: mask" + end);
  const Tensor values = to_cuda(at::ones({2, 4})), bitmask = at::full({2, 1}, 0x33, at::kByte);
  bitmask[1].fill_(0x73);
  EXPECT_EQ(error_of([&] { sparse24_decompress(values, to_cuda(bitmask), 8); }), "sparse24_decompress: bitmask" + end);
  const Tensor y = to_cpu(sparse24_mm(to_cuda(at::ones({3, 8})), values, to_cuda(bitmask)));
  EXPECT_TRUE(at::equal(y.select(1, 0), at::full({3}, 4.0f)));
  EXPECT_TRUE(y.select(1, 1).isnan().all().item<bool>());
}

// Sizes that cuSPARSELt takes, and sizes that are padded for it; the stand-in aborts at what it would refuse.
TEST_F(CudaOperators, CusparseltProductsAreThoseOfTheCpu) {
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    for (const auto& [M, N, K] :
         {std::tuple{8, 32, 64}, std::tuple{1, 32, 64}, std::tuple{24, 41, 64}, std::tuple{16, 16, 70}, std::tuple{3, 5, 7}}) {
      const Tensors t = sparse24_operands<at::ScalarType::Undefined>(M, N, K, dtype), cuda = on_cuda(t);
      const Tensor packed = sparse24_cusparselt_compress(cuda[1], cuda[2], K);
      const double limit = dtype == at::kHalf ? 2e-3 : 1.6e-2;
      const auto expect_near = [&](const Tensor& y, const Tensor& expected) {
        EXPECT_EQ(y.scalar_type(), dtype);
        EXPECT_LT(relative_error(to_cpu(y), expected), limit) << M << " " << N << " " << K;
      };
      expect_near(sparse24_cusparselt_mm(cuda[0], packed, N), sparse24_mm(t[0], t[1], t[2]));
      const Tensor y = sparse24_cusparselt_mm(cuda[0], packed, N, cuda[4].to(at::kFloat));
      expect_near(y, sparse24_mm(t[0], t[1], t[2], std::nullopt, t[4]));
      const Tensor turned = to_cuda(t[0].t().contiguous()).transpose(0, 1);
      EXPECT_TRUE(at::equal(to_cpu(sparse24_cusparselt_mm(turned, packed, N, cuda[4].to(at::kFloat))), to_cpu(y)));
    }
  }
  const Tensor bitmask = at::full({2, 1}, 0x33, at::kByte);
  bitmask[1].fill_(0x73);
  EXPECT_EQ(
      error_of([&] {
        sparse24_cusparselt_compress(to_cuda(at::ones({2, 4}, at::kHalf)), to_cuda(bitmask), 8);
      }),
      "sparse24_cusparselt_compress: bitmask must keep at most two of each four elements of a row, but row 1 keeps more of the "
      "elements 4 to 7");
  const Tensor x = at::ones({3, 8}, at::kHalf);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_mm(x, x, 8); }),
            "sparse24_cusparselt_mm: x must be on a CUDA device, which cuSPARSELt is for, but got cpu");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_mm(to_cuda(x), to_cuda(x.flatten()), 8); }),
            "sparse24_cusparselt_mm: packed must be [packed bytes / 2] = [256], but got [24]");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_mm(to_cuda(x.to(at::kFloat)), to_cuda(x), 8); }),
            "sparse24_cusparselt_mm: x must be float16 or bfloat16, but got float32");
}

TEST_F(CudaOperators, CusparseltDynamicProductsAreThoseOfTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const auto& [M, N, K] :
         {std::tuple{16, 32, 128}, std::tuple{1, 32, 64}, std::tuple{24, 41, 64}, std::tuple{300, 5, 7}}) {
      for (const auto& operands : {sparse24_operands<at::kChar>, sparse24_operands<at::kFloat8_e4m3fn>}) {
        const Tensors t = operands(M, N, K, dtype);
        if (M > 1) t[0].select(0, 1).fill_(INFINITY);  // is not rounded
        const Tensors cuda = on_cuda(t);
        const Tensor packed = sparse24_cusparselt_compress(cuda[1], cuda[2], K);
        EXPECT_EQ(packed.scalar_type(), t[1].scalar_type());
        const Tensor y = to_cpu(sparse24_cusparselt_dynamic_mm(cuda[0], packed, cuda[1], cuda[2], cuda[3], cuda[4]));
        const Tensor expected = sparse24_dynamic_mm(t[0], t[1], t[2], t[3], t[4]);
        ASSERT_EQ(y.scalar_type(), dtype);
        EXPECT_TRUE(at::equal(y.isfinite(), expected.isfinite())) << M << " " << N << " " << K;
        const Tensor first = y.select(0, 0), first_expected = expected.select(0, 0);
        const double limit = dtype == at::kFloat ? 1e-6 : dtype == at::kHalf ? 2e-3 : 1.6e-2;
        EXPECT_LT(relative_error(first, first_expected), limit) << M << " " << N << " " << K;
        if (t[1].scalar_type() == at::kChar) EXPECT_TRUE(at::equal(y.nan_to_num(), expected.nan_to_num()));
        const Tensor turned = to_cuda(t[0].t().contiguous()).transpose(0, 1);
        EXPECT_TRUE(
            at::equal(to_cpu(sparse24_cusparselt_dynamic_mm(turned, packed, cuda[1], cuda[2], cuda[3], cuda[4])).nan_to_num(),
                      y.nan_to_num()));
      }
    }
  }
  const Tensors t = sparse24_operands<at::kChar>(3, 8, 0, at::kHalf), cuda = on_cuda(t);
  const Tensor nothing = sparse24_cusparselt_compress(cuda[1], cuda[2], 0);
  EXPECT_TRUE(at::equal(to_cpu(sparse24_cusparselt_dynamic_mm(cuda[0], nothing, cuda[1], cuda[2], cuda[3], cuda[4])),
                        t[4].expand({3, 8})));

  const std::string op = "sparse24_cusparselt_dynamic_mm: ";
  const Tensors good = on_cuda(sparse24_operands<at::kChar>(3, 8, 64, at::kHalf));
  const Tensor packed = sparse24_cusparselt_compress(good[1], good[2], 64);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(good[0], good[1].view({-1}), good[1], good[2], good[3]); }),
            op + "packed must be [packed bytes] = [4096], but got [256]");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(good[0], good[0], good[1], good[2], good[3]); }),
            op + "packed must be int8, but got float16");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(good[0], packed, good[0], good[2], good[3]); }),
            op + "values must be int8 or float8_e4m3fn, but got float16");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(good[0], packed, good[1], good[2], good[3], good[0]); }),
            op + "bias must be [N] = [8], but got [3, 64]");
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(good[0], to_cuda(to_cpu(packed), 1), good[1], good[2], good[3]); }),
            op + "packed must be on x's device cuda:0, but got cuda:1");
  const Tensors cpu = sparse24_operands<at::kChar>(3, 8, 64, at::kHalf);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(cpu[0], cpu[1], cpu[1], cpu[2], cpu[3]); }),
            op + "x must be on a CUDA device, which cuSPARSELt is for, but got cpu");
  EXPECT_EQ(error_of([&] {
              sparse24_cusparselt_compress(to_cuda(at::ones({2, 4})), to_cuda(at::full({2, 1}, 0x33, at::kByte)), 8);
            }),
            "sparse24_cusparselt_compress: values must be float16, bfloat16, int8 or float8_e4m3fn, but got float32");
}

// The gradient of nf4_mm: a dense product, which is asked for the weight as it lies.
TEST_F(CudaOperators, Nf4MmBackwardIsThatOfTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const int64_t M : {1, 20}) {
      for (const int64_t K : {70, 128}) {
        const Tensors operands = nf4_operands(0, 41, K, dtype);
        const Tensor grad = at::randn({2, M, 41}).to(dtype),
                     expected = nf4_mm_backward(grad, operands[1], operands[2], K, group_size);
        const Tensors cuda = on_cuda({grad, operands[1], operands[2]});
        gemms.clear();
        const Tensor y = nf4_mm_backward(cuda[0], cuda[1], cuda[2], K, group_size);
        ASSERT_EQ(gemms.size(), 1u);
        EXPECT_TRUE(gemms[0].args.w_is_transposed);
        EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, M, K}));
        const double limit = dtype == at::kFloat ? 1e-6 : dtype == at::kHalf ? 2e-3 : 1.6e-2;
        EXPECT_LT(relative_error(to_cpu(y), expected), limit) << M << " " << K;
        const Tensor turned = to_cuda(grad.view({2 * M, 41}).t().contiguous()).transpose(0, 1);
        EXPECT_TRUE(at::equal(to_cpu(nf4_mm_backward(turned, cuda[1], cuda[2], K, group_size)), to_cpu(y).view({2 * M, K})));
      }
    }
    const Tensor empty = to_cuda(at::zeros({0}, at::kByte)),
                 zeros = nf4_mm_backward(to_cuda(at::zeros({3, 0}, dtype)), empty, to_cuda(at::zeros({0})), 5);
    EXPECT_TRUE(at::equal(to_cpu(zeros), at::zeros({3, 5}, dtype)));
  }
}

TEST_F(CudaOperators, EmptyResultsAndEmptySums) {
  for (const NamedProduct& product : products) {
    for (const auto& [M, N, K] : {std::tuple{0, 5, 70}, std::tuple{3, 0, 70}, std::tuple{3, 5, 0}, std::tuple{0, 0, 0}}) {
      const Tensors operands = product.random_operands(M, N, K, at::kBFloat16);
      EXPECT_TRUE(at::equal(to_cpu(product.call(on_cuda(operands))), product.call(operands)))
          << product.name << " " << M << " " << N << " " << K;
    }
  }
  for (const auto& [N, K] : {std::pair{0, 8}, std::pair{4, 0}}) {
    const auto [packed, scale, zero_point] = int4_quantize(to_cuda(at::ones({N, K})), 4);
    EXPECT_EQ(int4_dequantize(packed, scale, zero_point, 4, K).sizes(), (std::vector<int64_t>{N, K}));
  }
}

// The context of every call: the tensors' device is current, and it is asked for its stream.
TEST_F(CudaOperators, RunOnTheDeviceOfTheirTensors) {
  for (const int index : {0, 1}) {
    std::vector<std::function<Tensor()>> calls;
    for (const NamedProduct& product : products) {
      const Tensors operands = on_cuda(product.random_operands(140, 41, 64, at::kBFloat16), index);
      calls.emplace_back([&product, operands] { return product.call(operands); });
    }
    const Tensor weight = to_cuda(at::randn({9, 70}), index);
    const auto [packed, scale, zero_point] = int4_quantize(weight, group_size);
    const auto [codes, row_scale] = int8_quantize(weight);
    calls.emplace_back([&, c = codes.to(at::kFloat8_e4m3fn), s = row_scale] { return fp8_dequantize(c, s); });
    calls.emplace_back([&] { return std::get<0>(fp8_quantize(weight, std::nullopt, "block")); });
    const Tensors scaled = on_cuda(scaled_operands(9, 41, 70, at::kFloat8_e5m2, "row", "block"), index);
    calls.emplace_back([scaled] { return scaled_mm(scaled); });
    calls.emplace_back([&] { return std::get<0>(int4_quantize(weight, group_size)); });
    calls.emplace_back([&, p = packed, s = scale, z = zero_point] { return int4_dequantize(p, s, z, group_size, 70); });
    calls.emplace_back([&] { return std::get<0>(int8_quantize(weight)); });
    calls.emplace_back([c = codes, s = row_scale] { return int8_dequantize(c, s); });
    const auto [nf4_packed, absmax] = nf4_quantize(weight);
    calls.emplace_back([&] { return std::get<0>(nf4_quantize(weight)); });
    calls.emplace_back([a = absmax] { return std::get<0>(nf4_quantize_absmax(a)); });
    calls.emplace_back([p = nf4_packed, a = absmax] { return nf4_dequantize(p, a, {9, 70}); });
    calls.emplace_back([&, p = nf4_packed, a = absmax] { return nf4_mm_backward(to_cuda(at::randn({3, 9}), index), p, a, 70); });
    const auto [values, bitmask] = sparse24_compress(weight, sparse24_prune(weight));
    calls.emplace_back([&] { return sparse24_prune(weight); });
    calls.emplace_back([&, mask = sparse24_prune(weight)] { return std::get<0>(sparse24_compress(weight, mask)); });
    calls.emplace_back([v = values, b = bitmask] { return sparse24_decompress(v, b, 70); });
    for (size_t i = 0; i < calls.size(); ++i) {
      asked_for_stream().clear();
      EXPECT_EQ(calls[i]().device().index(), index) << "call " << i;
      ASSERT_EQ(asked_for_stream().size(), 1u) << "call " << i;
      EXPECT_EQ(asked_for_stream()[0].device, index) << "call " << i;
      EXPECT_EQ(asked_for_stream()[0].current_device, index) << "call " << i;
    }
    ASSERT_FALSE(gemms.empty());
    EXPECT_EQ(gemms.back().context.device.index, index);
    EXPECT_EQ(gemms.back().context.stream, current_stream(index));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(gemms.back().context.workspace) % cuda::workspace_alignment, 0u);
  }
}

// ---- layouts ----

Tensor shifted(const Tensor& tensor) {
  const Tensor storage = at::empty({tensor.numel() + 1}, tensor.options());
  Tensor view = storage.narrow(0, 1, tensor.numel()).view(tensor.sizes());
  view.copy_(tensor);
  return view;
}

Tensor with_gaps(const Tensor& tensor, int64_t gap) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes.back() += gap;
  Tensor view = at::empty(sizes, tensor.options()).narrow(-1, 0, tensor.size(-1));
  view.copy_(tensor);
  return view;
}

Tensor every_second(const Tensor& tensor) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes.back() *= 2;
  Tensor view = at::empty(sizes, tensor.options()).slice(-1, 0, std::nullopt, 2);
  view.copy_(tensor);
  return view;
}

Tensor expanded(const Tensor& tensor) { return tensor.narrow(0, 0, 1).expand(tensor.sizes()); }

TEST_F(CudaOperators, TheLayoutOfAnOperandChangesNoBit) {
  const std::vector<std::pair<const char*, std::function<Tensor(const Tensor&)>>> layouts = {
      {"shifted", shifted},
      {"gaps of 1", [](const Tensor& t) { return with_gaps(t, 1); }},
      {"gaps of 2", [](const Tensor& t) { return with_gaps(t, 2); }},
      {"every second", every_second},
      {"expanded", expanded}};
  // Ordinary cores, tensor cores where rows of K / 2 bytes are aligned for them, dequantize and multiply: a kernel, its neighbour, and cuBLASLt.
  for (const auto& [dtype, M, K] :
       {std::tuple{at::kFloat, 5, 128}, std::tuple{at::kFloat, 20, 128}, std::tuple{at::kFloat, 20, 132},
        std::tuple{at::kBFloat16, 1, 128}, std::tuple{at::kBFloat16, 5, 128}, std::tuple{at::kBFloat16, 5, 132},
        std::tuple{at::kBFloat16, 140, 64}}) {
    for (const NamedProduct& product : products) {
      const Tensors operands = on_cuda(product.random_operands(M, 17, K, dtype));
      for (size_t i = 0; i < operands.size(); ++i) {
        for (const auto& [name, layout] : layouts) {
          const std::string what = std::string(product.name) + ", " + product.arguments[i] + " " + name + ", M " +
                                   std::to_string(M) + ", K " + std::to_string(K);
          Tensors strided = operands, contiguous = operands;
          strided[i] = layout(operands[i]);
          contiguous[i] = to_cuda(to_cpu(strided[i]));
          gemms.clear();
          const Tensor y = product.call(strided), expected = product.call(contiguous);
          EXPECT_TRUE(at::equal(to_cpu(y), to_cpu(expected))) << what;
          // By these cuBLASLt would choose its algorithm, of which the stand-in has one.
          if (gemms.empty()) continue;
          ASSERT_EQ(gemms.size(), 2u) << what;
          EXPECT_EQ(gemms[0].args.x_row_stride, gemms[1].args.x_row_stride) << what;
          EXPECT_EQ(reinterpret_cast<uintptr_t>(gemms[0].args.x) % 256, 0u) << what;
          EXPECT_EQ(reinterpret_cast<uintptr_t>(gemms[0].args.bias) % 256, 0u) << what;
        }
      }
    }
  }
}

TEST_F(CudaOperators, LeadingDimensionsAreRows) {
  for (const NamedProduct& product : products) {
    Tensors operands = on_cuda(product.random_operands(12, 41, 64, at::kBFloat16));
    const Tensor flat = to_cpu(product.call(operands));
    operands[0] = operands[0].view({3, 4, 64});
    EXPECT_TRUE(at::equal(to_cpu(product.call(operands)), flat.view({3, 4, 41}))) << product.name;
    operands[0] = operands[0].transpose(0, 1);
    EXPECT_TRUE(at::equal(to_cpu(product.call(operands)), flat.view({3, 4, 41}).transpose(0, 1))) << product.name;
  }
}

// ---- errors ----

TEST_F(CudaOperators, AllTensorsMustBeOnOneDevice) {
  for (const NamedProduct& product : products) {
    const std::string name = product.name;
    const Tensors cpu = product.random_operands(3, 5, 64, at::kFloat), cuda = on_cuda(cpu, 0), other = on_cuda(cpu, 1);
    for (size_t i = 1; i < cpu.size(); ++i) {
      const std::string argument = product.arguments[i];
      Tensors mixed = cuda;
      mixed[i] = cpu[i];
      EXPECT_EQ(error_of([&] { product.call(mixed); }), name + ": " + argument + " must be on x's device cuda:0, but got cpu");
      mixed[i] = other[i];
      EXPECT_EQ(error_of([&] { product.call(mixed); }), name + ": " + argument + " must be on x's device cuda:0, but got cuda:1");
      mixed = cpu;
      mixed[i] = cuda[i];
      EXPECT_EQ(error_of([&] { product.call(mixed); }), name + ": " + argument + " must be on x's device cpu, but got cuda:0");
    }
  }
  const Tensor packed = at::ones({5, 32}, at::kByte), scale = at::ones({5, 2});
  EXPECT_EQ(error_of([&] { int4_dequantize(to_cuda(packed), scale, std::nullopt, group_size, 64); }),
            "int4_dequantize: weight_scale must be on weight_packed's device cuda:0, but got cpu");
  EXPECT_EQ(error_of([&] { int8_dequantize(to_cuda(packed.to(at::kChar)), scale, group_size); }),
            "int8_dequantize: weight_scale must be on weight's device cuda:0, but got cpu");
  EXPECT_EQ(error_of([&] { fp8_dequantize(to_cuda(packed.to(at::kFloat8_e5m2)), scale); }),
            "fp8_dequantize: scale must be on input's device cuda:0, but got cpu");
  EXPECT_TRUE(asked_for_stream().empty());
}

TEST_F(CudaOperators, SayWhichCallFailedAndWhy) {
  // There is no such device for the runtime.
  for (const NamedProduct& product : products) {
    const Tensors operands = on_cuda(product.random_operands(3, 5, 64, at::kFloat), 5);
    EXPECT_EQ(error_of([&] { product.call(operands); }),
              std::string(product.name) + ": cudaSetDevice says: invalid device ordinal");
  }
  EXPECT_EQ(error_of([] {
              int4_quantize(to_cuda(at::ones({2, 4}), 5), 2);
            }),
            "int4_quantize: cudaSetDevice says: invalid device ordinal");
}

TEST_F(CudaOperators, CapabilitiesNameTheArchitectures) {
  EXPECT_NE(capabilities().find("\"cuda_archs\": [\"sm_90a\", \"compute_80\"]"), std::string::npos) << capabilities();
}

}  // namespace
}  // namespace test
}  // namespace torchao_ops
