// The operators on CUDA tensors in a library that was built without CUDA.
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "csrc/ops/torchao_ops.h"
#include "tests/cpp/cuda_operators/fake_torch_cuda.h"

namespace torchao_ops::test {
namespace {

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(WithoutCuda, OperatorsSaySo) {
  const std::string end = " must be on cpu, as this libtorchao_ops.so was built without CUDA, but got cuda:1";
  const at::Tensor x = to_cuda(at::ones({3, 64}), 1), packed = to_cuda(at::ones({5, 32}, at::kByte), 1),
                   scale = to_cuda(at::ones({5, 2}), 1);
  const at::Tensor codes = to_cuda(at::ones({5, 64}).to(at::kFloat8_e4m3fn), 1);
  EXPECT_EQ(error_of([&] { fp8_dequantize(codes, scale); }), "fp8_dequantize: input" + end);
  EXPECT_EQ(error_of([&] { fp8_quantize(x); }), "fp8_quantize: input" + end);
  EXPECT_EQ(error_of([&] { fp8_mm(x, codes, scale); }), "fp8_mm: x" + end);
  EXPECT_EQ(error_of([&] { fp8_dynamic_mm(x, codes, scale); }), "fp8_dynamic_mm: x" + end);
  EXPECT_EQ(error_of([&] { fp8_scaled_mm(codes, codes, scale, scale); }), "fp8_scaled_mm: a" + end);
  EXPECT_EQ(error_of([&] { int4_quantize(x, 32); }), "int4_quantize: weight" + end);
  EXPECT_EQ(error_of([&] { int4_dequantize(packed, scale, scale, 32, 64); }), "int4_dequantize: weight_packed" + end);
  EXPECT_EQ(error_of([&] { int4_mm(x, packed, scale, scale, 32); }), "int4_mm: x" + end);
  EXPECT_EQ(error_of([&] { int4_dynamic_mm(x, packed, scale, scale, 32); }), "int4_dynamic_mm: x" + end);
  EXPECT_EQ(error_of([&] { int8_quantize(x); }), "int8_quantize: weight" + end);
  EXPECT_EQ(error_of([&] { int8_dequantize(packed, scale, 16); }), "int8_dequantize: weight" + end);
  EXPECT_EQ(error_of([&] { int8_mm(x, packed, scale); }), "int8_mm: x" + end);
  EXPECT_EQ(error_of([&] { int8_dynamic_mm(x, packed, scale); }), "int8_dynamic_mm: x" + end);
  EXPECT_EQ(error_of([&] { nf4_quantize(x); }), "nf4_quantize: weight" + end);
  EXPECT_EQ(error_of([&] { nf4_quantize_absmax(x); }), "nf4_quantize_absmax: absmax" + end);
  EXPECT_EQ(error_of([&] { nf4_dequantize(packed, scale, {5, 64}); }), "nf4_dequantize: weight_packed" + end);
  at::Tensor out = x;
  EXPECT_EQ(error_of([&] { nf4_dequantize_out(out, packed, scale, {3, 64}); }), "nf4_dequantize: weight_packed" + end);
  EXPECT_EQ(error_of([&] { nf4_mm(x, packed, scale, 5); }), "nf4_mm: x" + end);
  EXPECT_EQ(error_of([&] { nf4_mm_backward(x, packed, scale, 5); }), "nf4_mm_backward: grad_output" + end);
  EXPECT_EQ(error_of([&] { sparse24_prune(x); }), "sparse24_prune: weight" + end);
  EXPECT_EQ(error_of([&] { sparse24_compress(x); }), "sparse24_compress: weight" + end);
  EXPECT_EQ(error_of([&] { sparse24_decompress(x, packed, 128); }), "sparse24_decompress: values" + end);
  EXPECT_EQ(error_of([&] { sparse24_mm(x, x, packed); }), "sparse24_mm: x" + end);
  EXPECT_EQ(error_of([&] { sparse24_dynamic_mm(x, packed, packed, scale); }), "sparse24_dynamic_mm: x" + end);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_compress(x, packed, 64); }), "sparse24_cusparselt_compress: values" + end);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_mm(x, packed, 5); }), "sparse24_cusparselt_mm: x" + end);
  EXPECT_EQ(error_of([&] { sparse24_cusparselt_dynamic_mm(x, packed, packed, packed, scale); }),
            "sparse24_cusparselt_dynamic_mm: x" + end);
  EXPECT_EQ(error_of([&] {
              int4_mm(at::ones({3, 64}), packed, scale, scale, 32);
            }),
            "int4_mm: weight_packed must be on x's device cpu, but got cuda:1");
}

TEST(WithoutCuda, OperatorsWorkOnTheCpu) {
  const at::Tensor x = at::ones({3, 64});
  EXPECT_EQ(int4_dequantize(at::ones({5, 32}, at::kByte), at::ones({5, 2}), std::nullopt, 32, 64).sizes(),
            (std::vector<int64_t>{5, 64}));
  EXPECT_NE(capabilities().find("\"cuda_archs\": []"), std::string::npos) << capabilities();
}

}  // namespace
}  // namespace torchao_ops::test
