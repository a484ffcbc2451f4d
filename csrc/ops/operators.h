// The functions behind the operators, by the schemas in csrc/register.cpp. Each is defined in the file of its name.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace torchao_ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

std::string op_capabilities();

// Of CUDA tensors only; of others they say so.
Tensor op_sparse24_cusparselt_compress(const Tensor& values, const Tensor& bitmask, int64_t in_features);
Tensor op_sparse24_cusparselt_mm(const Tensor& x, const Tensor& packed, int64_t out_features, const std::optional<Tensor>& bias);
Tensor op_sparse24_cusparselt_dynamic_mm(const Tensor& x, const Tensor& packed, const Tensor& values, const Tensor& bitmask,
                                         const Tensor& weight_scale, const std::optional<Tensor>& bias);

namespace cpu {

std::tuple<Tensor, Tensor> op_fp8_quantize(const Tensor& input, std::optional<ScalarType> dtype, std::string granularity);
Tensor op_fp8_dequantize(const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype);
Tensor op_fp8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias);
Tensor op_fp8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias);
Tensor op_fp8_scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                        const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype);

std::tuple<Tensor, Tensor, Tensor> op_int4_quantize(const Tensor& weight, int64_t group_size, bool symmetric);
Tensor op_int4_dequantize(const Tensor& weight_packed, const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point,
                          int64_t group_size, int64_t in_features, std::optional<ScalarType> dtype);
Tensor op_int4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                  const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias);
Tensor op_int4_dynamic_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                          const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias);

std::tuple<Tensor, Tensor> op_int8_quantize(const Tensor& weight, int64_t group_size);
Tensor op_int8_dequantize(const Tensor& weight, const Tensor& weight_scale, int64_t group_size, std::optional<ScalarType> dtype);
Tensor op_int8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                  const std::optional<Tensor>& bias);
Tensor op_int8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                          const std::optional<Tensor>& bias);

std::tuple<Tensor, Tensor> op_nf4_quantize(const Tensor& weight, int64_t block_size);
std::tuple<Tensor, Tensor, Tensor, Tensor> op_nf4_quantize_absmax(const Tensor& absmax, int64_t nested_block_size);
Tensor op_nf4_dequantize(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape, int64_t block_size,
                         std::optional<ScalarType> dtype, const std::optional<Tensor>& absmax_code,
                         const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                         int64_t nested_block_size);
Tensor op_nf4_dequantize_out(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape,
                             int64_t block_size, const std::optional<Tensor>& absmax_code,
                             const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                             int64_t nested_block_size, const Tensor& out);
Tensor op_nf4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& absmax, int64_t out_features, int64_t block_size,
                 const std::optional<Tensor>& bias, const std::optional<Tensor>& absmax_code,
                 const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                 int64_t nested_block_size);
Tensor op_nf4_mm_backward(const Tensor& grad_output, const Tensor& weight_packed, const Tensor& absmax, int64_t in_features,
                          int64_t block_size, const std::optional<Tensor>& absmax_code,
                          const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                          int64_t nested_block_size);

Tensor op_sparse24_prune(const Tensor& weight);
std::tuple<Tensor, Tensor> op_sparse24_compress(const Tensor& weight, const std::optional<Tensor>& mask);
Tensor op_sparse24_decompress(const Tensor& values, const Tensor& bitmask, int64_t in_features);
Tensor op_sparse24_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const std::optional<Tensor>& weight_scale,
                      const std::optional<Tensor>& bias);
Tensor op_sparse24_dynamic_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const Tensor& weight_scale,
                              const std::optional<Tensor>& bias);

}  // namespace cpu

// The same on CUDA. In a library that was built without CUDA they throw.
namespace cuda {

std::tuple<Tensor, Tensor> op_fp8_quantize(const Tensor& input, std::optional<ScalarType> dtype, std::string granularity);
Tensor op_fp8_dequantize(const Tensor& input, const Tensor& scale, std::optional<ScalarType> dtype);
Tensor op_fp8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias);
Tensor op_fp8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, const std::optional<Tensor>& bias);
Tensor op_fp8_scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
                        const std::optional<Tensor>& bias, std::optional<ScalarType> out_dtype);

std::tuple<Tensor, Tensor, Tensor> op_int4_quantize(const Tensor& weight, int64_t group_size, bool symmetric);
Tensor op_int4_dequantize(const Tensor& weight_packed, const Tensor& weight_scale, const std::optional<Tensor>& weight_zero_point,
                          int64_t group_size, int64_t in_features, std::optional<ScalarType> dtype);
Tensor op_int4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                  const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias);
Tensor op_int4_dynamic_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& weight_scale,
                          const std::optional<Tensor>& weight_zero_point, int64_t group_size, const std::optional<Tensor>& bias);

std::tuple<Tensor, Tensor> op_int8_quantize(const Tensor& weight, int64_t group_size);
Tensor op_int8_dequantize(const Tensor& weight, const Tensor& weight_scale, int64_t group_size, std::optional<ScalarType> dtype);
Tensor op_int8_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                  const std::optional<Tensor>& bias);
Tensor op_int8_dynamic_mm(const Tensor& x, const Tensor& weight, const Tensor& weight_scale, int64_t group_size,
                          const std::optional<Tensor>& bias);

std::tuple<Tensor, Tensor> op_nf4_quantize(const Tensor& weight, int64_t block_size);
std::tuple<Tensor, Tensor, Tensor, Tensor> op_nf4_quantize_absmax(const Tensor& absmax, int64_t nested_block_size);
Tensor op_nf4_dequantize(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape, int64_t block_size,
                         std::optional<ScalarType> dtype, const std::optional<Tensor>& absmax_code,
                         const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                         int64_t nested_block_size);
Tensor op_nf4_dequantize_out(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape,
                             int64_t block_size, const std::optional<Tensor>& absmax_code,
                             const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                             int64_t nested_block_size, const Tensor& out);
Tensor op_nf4_mm(const Tensor& x, const Tensor& weight_packed, const Tensor& absmax, int64_t out_features, int64_t block_size,
                 const std::optional<Tensor>& bias, const std::optional<Tensor>& absmax_code,
                 const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                 int64_t nested_block_size);
Tensor op_nf4_mm_backward(const Tensor& grad_output, const Tensor& weight_packed, const Tensor& absmax, int64_t in_features,
                          int64_t block_size, const std::optional<Tensor>& absmax_code,
                          const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                          int64_t nested_block_size);

Tensor op_sparse24_prune(const Tensor& weight);
std::tuple<Tensor, Tensor> op_sparse24_compress(const Tensor& weight, const std::optional<Tensor>& mask);
Tensor op_sparse24_decompress(const Tensor& values, const Tensor& bitmask, int64_t in_features);
Tensor op_sparse24_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const std::optional<Tensor>& weight_scale,
                      const std::optional<Tensor>& bias);
Tensor op_sparse24_dynamic_mm(const Tensor& x, const Tensor& values, const Tensor& bitmask, const Tensor& weight_scale,
                              const std::optional<Tensor>& bias);

}  // namespace cuda
}  // namespace torchao_ops
