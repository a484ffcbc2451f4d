// torchao_ops: quantized matrix operators for PyTorch, as C++ functions on at::Tensor.
//
// Header-only: each function calls the operator torchao::<name> through PyTorch's dispatcher, which has it once libtorchao_ops.so is
// loaded: linked (the CMake target torchao_ops::torchao_ops does it), or opened with dlopen. Without it, the first call throws c10::Error.
// TorchScript and AOTInductor modules that hold these operators need the library in the process, and nothing of this header.
//
// In all of them: N = out_features, K = in_features, G = ceil(K / group_size), the last group may be partial. An argument that does not
// fit throws an exception derived from std::exception whose what() says "{operator}: {argument} must {requirement}, but got {what
// came}"; no argument is ever modified. Tensors may have any strides and must all be on one device. The functions may be called from
// several threads at once and use torch's thread pool (at::set_num_threads); results do not depend on the number of threads, bit for bit.
// On CUDA tensors the work is enqueued on torch's current stream of their device, and a call returns before it is done. They record no gradients.
//
// An int4 weight [N, K] is three tensors:
//   weight_packed      uint8 [N, ceil(K / 2)]: codes 0..15, element 2j in the low nibble of byte j
//   weight_scale       float32, float16 or bfloat16 [N, G]
//   weight_zero_point  float32, float16 or bfloat16 [N, G], or none: 8 everywhere
//   w[n, k] = (code[n, k] - zero_point[n, k / group_size]) * scale[n, k / group_size]
//
// An int8 weight [N, K] is two:
//   weight             int8 [N, K]: codes
//   weight_scale       float32, float16 or bfloat16 [N, G]; or, with group_size 0, one a row: [N]
//   w[n, k] = code[n, k] * scale[n, k / group_size]
//
// An nf4 weight, of any shape, is two, or five if it is doubly quantized; its blocks run over the flattened weight:
//   weight_packed      uint8 [ceil(numel / 2)]: codes 0..15 of 16 fixed numbers, element 2j in the high nibble of byte j
//   absmax             float32, float16 or bfloat16 [blocks], blocks = ceil(numel / block_size); or uint8 codes, and then
//   absmax_code        float32 [256]
//   nested_absmax      float32 [ceil(blocks / nested_block_size)]
//   absmax_offset      float32 [] or [1]
//   w[i] = number[code[i]] * absmax[i / block_size], absmax[b] = absmax_code[code[b]] * nested_absmax[b / nested_block_size] + absmax_offset
// block_size is a power of two of at least 32.
//
// A 2:4 sparse weight [N, K] is two or three; of each four elements of a row, a quad, it keeps at most two:
//   values             float32, float16, bfloat16, int8 or float8_e4m3fn [N, 2 * ceil(K / 4)]: what is kept, two a quad and in order
//   bitmask            uint8 [N, ceil(K / 8)]: bit k % 8 of byte k / 8 is set where element k is kept
//   weight_scale       float32, float16 or bfloat16 [N]; or none, unless values are of 8 bits
//   w[n, k] = values[n, 2 * (k / 4) + kept elements of the quad before k] * weight_scale[n] where k is kept, else 0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

namespace torchao_ops {

// A JSON object that says what the library was built with and uses on this machine: version, torch_abi, isa, isa_available, avx512_bf16, avx512_vbmi2,
// cuda_archs, cublaslt, cusparselt. Throws if the environment variable TORCHAO_OPS_ISA names an instruction set that this CPU lacks.
inline std::string capabilities() {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("torchao::capabilities", "").typed<std::string()>();
  return op.call();
}

// Quantizes a weight [N, K] (float32, float16 or bfloat16) in groups of group_size >= 1 along K. Returns weight_packed, weight_scale and
// weight_zero_point, the latter two in the weight's dtype. Per group, with the scale rounded to that dtype before it is used:
//   asymmetric: lo = min(w, 0), hi = max(w, 0), scale = (hi - lo) / 15, zero_point = clamp(round(-lo / scale), 0, 15)
//   symmetric:  scale = max|w| / 7, zero_point = 8
//   code = clamp(round(w / scale) + zero_point, 0, 15), rounding half to even
// A group of zeros has scale 0 and dequantizes to zeros; one with NaN or Inf has scale NaN.
inline std::tuple<at::Tensor, at::Tensor, at::Tensor> int4_quantize(const at::Tensor& weight, int64_t group_size,
                                                                    bool symmetric = false) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int4_quantize", "")
                             .typed<std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, int64_t, bool)>();
  return op.call(weight, group_size, symmetric);
}

// The weight [N, in_features] in `dtype` (float32, float16 or bfloat16; none: the scale's). Difference and product are each rounded to float32,
// then to dtype.
inline at::Tensor int4_dequantize(const at::Tensor& weight_packed, const at::Tensor& weight_scale,
                                  const std::optional<at::Tensor>& weight_zero_point, int64_t group_size, int64_t in_features,
                                  std::optional<at::ScalarType> dtype = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int4_dequantize", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, int64_t,
                                               int64_t, std::optional<at::ScalarType>)>();
  return op.call(weight_packed, weight_scale, weight_zero_point, group_size, in_features, dtype);
}

// y = x @ w.T + bias for x [..., K] (float32, float16 or bfloat16; at least one dimension) and bias [N] (any of these dtypes) or none: y
// [..., N] in x's dtype. Sums are float32; the error is at most that of the dense product in x's dtype on the dequantized weight. NaN and
// Inf propagate as there. K = 0 gives the bias or zeros.
inline at::Tensor int4_mm(const at::Tensor& x, const at::Tensor& weight_packed, const at::Tensor& weight_scale,
                          const std::optional<at::Tensor>& weight_zero_point, int64_t group_size,
                          const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int4_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const std::optional<at::Tensor>&, int64_t, const std::optional<at::Tensor>&)>();
  return op.call(x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

// The same product with x quantized on the fly, each row to int8: scale = max|x| / 127 in float32, q = clamp(round_half_even(x / scale), -127,
// 127). Sums of q * code are exact integers; scales and zero points act on them in float32. A row with NaN or Inf is not quantized.
inline at::Tensor int4_dynamic_mm(const at::Tensor& x, const at::Tensor& weight_packed, const at::Tensor& weight_scale,
                                  const std::optional<at::Tensor>& weight_zero_point, int64_t group_size,
                                  const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int4_dynamic_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const std::optional<at::Tensor>&, int64_t, const std::optional<at::Tensor>&)>();
  return op.call(x, weight_packed, weight_scale, weight_zero_point, group_size, bias);
}

// Quantizes a weight [N, K] (float32, float16 or bfloat16) in groups of group_size along K, or, with group_size 0, row by row. Returns weight
// and weight_scale, the latter in the weight's dtype. Per group, with the scale rounded to that dtype before it is used:
//   scale = max|w| / 127, code = clamp(round(w / scale), -127, 127), rounding half to even
// A group of zeros has scale 0 and dequantizes to zeros; one with NaN or Inf has scale NaN.
inline std::tuple<at::Tensor, at::Tensor> int8_quantize(const at::Tensor& weight, int64_t group_size = 0) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int8_quantize", "")
                             .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, int64_t)>();
  return op.call(weight, group_size);
}

// The weight [N, K] in `dtype` (float32, float16 or bfloat16; none: the scale's). The product is rounded to float32, then to dtype.
inline at::Tensor int8_dequantize(const at::Tensor& weight, const at::Tensor& weight_scale, int64_t group_size = 0,
                                  std::optional<at::ScalarType> dtype = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int8_dequantize", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t, std::optional<at::ScalarType>)>();
  return op.call(weight, weight_scale, group_size, dtype);
}

// y = x @ w.T + bias, as int4_mm with an int8 weight.
inline at::Tensor int8_mm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale, int64_t group_size = 0,
                          const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int8_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t,
                                               const std::optional<at::Tensor>&)>();
  return op.call(x, weight, weight_scale, group_size, bias);
}

// The same product with x quantized on the fly, each row to int8, as in int4_dynamic_mm. With group_size 0 the result has the same bits on every
// CPU and for every number of rows (K up to 2^17).
inline at::Tensor int8_dynamic_mm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                                  int64_t group_size = 0, const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::int8_dynamic_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t,
                                               const std::optional<at::Tensor>&)>();
  return op.call(x, weight, weight_scale, group_size, bias);
}

// Rounds a matrix [N, K] (float32, float16 or bfloat16) to `dtype` (float8_e4m3fn or float8_e5m2; none: float8_e4m3fn), with one scale
// ("tensor"), a scale a row ("row"), for each 128 x 128 elements ("block") or for each 128 in a row ("group"). Returns the codes and the scale, [],
// [N], [ceil(N / 128), ceil(K / 128)] or [N, ceil(K / 128)], in the input's dtype, to which it is rounded before it is used:
//   scale = max|x| / 448 (57344), code = x / scale rounded half to even, saturating
// Zeros have scale 0 and dequantize to zeros; what holds NaN or Inf has scale NaN.
inline std::tuple<at::Tensor, at::Tensor> fp8_quantize(const at::Tensor& input,
                                                       std::optional<at::ScalarType> dtype = std::nullopt,
                                                       c10::string_view granularity = "row") {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("torchao::fp8_quantize", "")
          .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, std::optional<at::ScalarType>, c10::string_view)>();
  return op.call(input, dtype, granularity);
}

// The matrix [N, K] in `dtype` (float32, float16 or bfloat16; none: the scale's). The product is rounded to float32, then to dtype.
inline at::Tensor fp8_dequantize(const at::Tensor& input, const at::Tensor& scale,
                                 std::optional<at::ScalarType> dtype = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::fp8_dequantize", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, std::optional<at::ScalarType>)>();
  return op.call(input, scale, dtype);
}

// y = x @ w.T + bias, as int4_mm with an fp8 weight and a scale of any of the four shapes.
inline at::Tensor fp8_mm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                         const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("torchao::fp8_mm", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&)>();
  return op.call(x, weight, weight_scale, bias);
}

// The same product with x quantized on the fly, each row to the weight's dtype.
inline at::Tensor fp8_dynamic_mm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
                                 const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("torchao::fp8_dynamic_mm", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&)>();
  return op.call(x, weight, weight_scale, bias);
}

// y = a @ b.T + bias of two fp8 matrices, a [M, K] and b [N, K], in `out_dtype` (none: bfloat16). Their dtypes and the shapes of their scales may
// differ.
inline at::Tensor fp8_scaled_mm(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale_a, const at::Tensor& scale_b,
                                const std::optional<at::Tensor>& bias = std::nullopt,
                                std::optional<at::ScalarType> out_dtype = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::fp8_scaled_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const std::optional<at::Tensor>&, std::optional<at::ScalarType>)>();
  return op.call(a, b, scale_a, scale_b, bias, out_dtype);
}

// Quantizes a weight (float32, float16 or bfloat16) of any shape to NF4, in the bytes that bitsandbytes writes. Returns weight_packed and absmax
// (float32). Per block: absmax = max|w|, code = that of the number nearest to w / absmax. A block with NaN or Inf dequantizes to NaN.
inline std::tuple<at::Tensor, at::Tensor> nf4_quantize(const at::Tensor& weight, int64_t block_size = 64) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::nf4_quantize", "")
                             .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, int64_t)>();
  return op.call(weight, block_size);
}

// Quantizes absmax [blocks] (float32, float16 or bfloat16) to 8 bits. Returns absmax (codes), absmax_code, nested_absmax and absmax_offset.
inline std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> nf4_quantize_absmax(const at::Tensor& absmax,
                                                                                      int64_t nested_block_size = 256) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::nf4_quantize_absmax", "")
                             .typed<std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, int64_t)>();
  return op.call(absmax, nested_block_size);
}

// The weight of this shape in `dtype` (float32, float16 or bfloat16; none: absmax's, and float32 where that is uint8). The product is rounded to
// float32, then to dtype.
inline at::Tensor nf4_dequantize(const at::Tensor& weight_packed, const at::Tensor& absmax, at::IntArrayRef shape,
                                 int64_t block_size = 64, std::optional<at::ScalarType> dtype = std::nullopt,
                                 const std::optional<at::Tensor>& absmax_code = std::nullopt,
                                 const std::optional<at::Tensor>& nested_absmax = std::nullopt,
                                 const std::optional<at::Tensor>& absmax_offset = std::nullopt, int64_t nested_block_size = 256) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::nf4_dequantize", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, at::IntArrayRef, int64_t,
                                               std::optional<at::ScalarType>, const std::optional<at::Tensor>&,
                                               const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, int64_t)>();
  return op.call(weight_packed, absmax, shape, block_size, dtype, absmax_code, nested_absmax, absmax_offset, nested_block_size);
}

// The same, written into `out` (float32, float16 or bfloat16, of any strides), which is returned.
inline at::Tensor& nf4_dequantize_out(at::Tensor& out, const at::Tensor& weight_packed, const at::Tensor& absmax,
                                      at::IntArrayRef shape, int64_t block_size = 64,
                                      const std::optional<at::Tensor>& absmax_code = std::nullopt,
                                      const std::optional<at::Tensor>& nested_absmax = std::nullopt,
                                      const std::optional<at::Tensor>& absmax_offset = std::nullopt,
                                      int64_t nested_block_size = 256) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("torchao::nf4_dequantize", "out")
          .typed<at::Tensor&(const at::Tensor&, const at::Tensor&, at::IntArrayRef, int64_t, const std::optional<at::Tensor>&,
                             const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, int64_t, at::Tensor&)>();
  return op.call(weight_packed, absmax, shape, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size, out);
}

// y = x @ w.T + bias, as int4_mm with an nf4 weight [out_features, K].
inline at::Tensor nf4_mm(const at::Tensor& x, const at::Tensor& weight_packed, const at::Tensor& absmax, int64_t out_features,
                         int64_t block_size = 64, const std::optional<at::Tensor>& bias = std::nullopt,
                         const std::optional<at::Tensor>& absmax_code = std::nullopt,
                         const std::optional<at::Tensor>& nested_absmax = std::nullopt,
                         const std::optional<at::Tensor>& absmax_offset = std::nullopt, int64_t nested_block_size = 256) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::nf4_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t, int64_t,
                                               const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                                               const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, int64_t)>();
  return op.call(x, weight_packed, absmax, out_features, block_size, bias, absmax_code, nested_absmax, absmax_offset,
                 nested_block_size);
}

// grad_output @ w, for grad_output [..., N] and an nf4 weight [N, in_features]: the gradient of nf4_mm for x, in grad_output's dtype.
inline at::Tensor nf4_mm_backward(const at::Tensor& grad_output, const at::Tensor& weight_packed, const at::Tensor& absmax,
                                  int64_t in_features, int64_t block_size = 64,
                                  const std::optional<at::Tensor>& absmax_code = std::nullopt,
                                  const std::optional<at::Tensor>& nested_absmax = std::nullopt,
                                  const std::optional<at::Tensor>& absmax_offset = std::nullopt,
                                  int64_t nested_block_size = 256) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::nf4_mm_backward", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t, int64_t,
                                               const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                                               const std::optional<at::Tensor>&, int64_t)>();
  return op.call(grad_output, weight_packed, absmax, in_features, block_size, absmax_code, nested_absmax, absmax_offset,
                 nested_block_size);
}

// Which elements of a weight [N, K] (float32, float16, bfloat16, int8 or float8_e4m3fn) to keep: bool [N, K], true for the two largest magnitudes of
// each quad, the first where they are equal. NaN is larger than Inf.
inline at::Tensor sparse24_prune(const at::Tensor& weight) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("torchao::sparse24_prune", "").typed<at::Tensor(const at::Tensor&)>();
  return op.call(weight);
}

// Values and bitmask of a weight [N, K] that has at most two elements other than 0 in each quad, or of those elements that mask (bool [N, K])
// marks, at most two of each quad. An error says where there are more; on CUDA, the call waits for the device to know.
inline std::tuple<at::Tensor, at::Tensor> sparse24_compress(const at::Tensor& weight,
                                                            const std::optional<at::Tensor>& mask = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_compress", "")
                             .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const std::optional<at::Tensor>&)>();
  return op.call(weight, mask);
}

// The dense weight [N, in_features] in the values' dtype, bit for bit, without a scale. On CUDA, the call waits for the device to know whether the
// bitmask keeps too many.
inline at::Tensor sparse24_decompress(const at::Tensor& values, const at::Tensor& bitmask, int64_t in_features) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_decompress", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t)>();
  return op.call(values, bitmask, in_features);
}

// y = x @ w.T + bias, as int4_mm with a 2:4 sparse weight; NaN and Inf of x meet its zeros as in the dense product. A bitmask that keeps more than two
// elements of a quad is an error on the CPU, and NaN in that column of y on CUDA.
inline at::Tensor sparse24_mm(const at::Tensor& x, const at::Tensor& values, const at::Tensor& bitmask,
                              const std::optional<at::Tensor>& weight_scale = std::nullopt,
                              const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const std::optional<at::Tensor>&, const std::optional<at::Tensor>&)>();
  return op.call(x, values, bitmask, weight_scale, bias);
}

// The same product with values of 8 bits and x quantized on the fly, each row to their type: to int8 as in int4_dynamic_mm, or to float8_e4m3fn with
// scale = max|x| / 448. With int8 the result has the same bits on every CPU and for every number of rows (K up to 2^18).
inline at::Tensor sparse24_dynamic_mm(const at::Tensor& x, const at::Tensor& values, const at::Tensor& bitmask,
                                      const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_dynamic_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const std::optional<at::Tensor>&)>();
  return op.call(x, values, bitmask, weight_scale, bias);
}

// A 2:4 sparse weight [N, in_features] of any values but float32 in cuSPARSELt's own layout: on CUDA only.
inline at::Tensor sparse24_cusparselt_compress(const at::Tensor& values, const at::Tensor& bitmask, int64_t in_features) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_cusparselt_compress", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t)>();
  return op.call(values, bitmask, in_features);
}

// y = x @ w.T + bias, with a weight [out_features, K] of float16 or bfloat16 in that layout.
inline at::Tensor sparse24_cusparselt_mm(const at::Tensor& x, const at::Tensor& packed, int64_t out_features,
                                         const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("torchao::sparse24_cusparselt_mm", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t, const std::optional<at::Tensor>&)>();
  return op.call(x, packed, out_features, bias);
}

// sparse24_dynamic_mm, with the weight in that layout as well.
inline at::Tensor sparse24_cusparselt_dynamic_mm(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& values,
                                                 const at::Tensor& bitmask, const at::Tensor& weight_scale,
                                                 const std::optional<at::Tensor>& bias = std::nullopt) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("torchao::sparse24_cusparselt_dynamic_mm", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               const at::Tensor&, const std::optional<at::Tensor>&)>();
  return op.call(x, packed, values, bitmask, weight_scale, bias);
}

}  // namespace torchao_ops
