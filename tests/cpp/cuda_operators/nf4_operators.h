// The nf4 operators as functions, with group_size as their block size.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <tuple>

namespace torchao_ops::test {

using at::Tensor;
constexpr int64_t group_size = 32;

using Optional = std::optional<Tensor>;
// Of absmax, or nothing.
struct DoubleQuantization {
  Optional absmax_code, nested_absmax, absmax_offset;
};
constexpr int64_t nested_block_size = 16;

template <class Function>
auto operator_of(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Function>();
}
inline auto nf4_quantize(const Tensor& weight) {
  return operator_of<std::tuple<Tensor, Tensor>(const Tensor&, int64_t)>("torchao::nf4_quantize").call(weight, group_size);
}
inline auto nf4_quantize_absmax(const Tensor& absmax) {
  using Function = std::tuple<Tensor, Tensor, Tensor, Tensor>(const Tensor&, int64_t);
  return operator_of<Function>("torchao::nf4_quantize_absmax").call(absmax, nested_block_size);
}
inline Tensor nf4_dequantize(const Tensor& packed, const Tensor& absmax, at::IntArrayRef shape,
                             const DoubleQuantization& q = {}) {
  using Function = Tensor(const Tensor&, const Tensor&, at::IntArrayRef, int64_t, std::optional<at::ScalarType>, const Optional&,
                          const Optional&, const Optional&, int64_t);
  return operator_of<Function>("torchao::nf4_dequantize")
      .call(packed, absmax, shape, group_size, std::nullopt, q.absmax_code, q.nested_absmax, q.absmax_offset, nested_block_size);
}
inline Tensor nf4_dequantize_out(const Tensor& packed, const Tensor& absmax, Tensor out) {
  using Function = Tensor&(const Tensor&, const Tensor&, at::IntArrayRef, int64_t, const Optional&, const Optional&,
                           const Optional&, int64_t, Tensor&);
  return operator_of<Function>("torchao::nf4_dequantize", "out")
      .call(packed, absmax, out.sizes(), group_size, {}, {}, {}, nested_block_size, out);
}
inline Tensor nf4_mm(const Tensor& x, const Tensor& packed, const Tensor& absmax, const Tensor& bias,
                     const DoubleQuantization& q = {}) {
  using Function = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, const Optional&, const Optional&,
                          const Optional&, const Optional&, int64_t);
  return operator_of<Function>("torchao::nf4_mm")
      .call(x, packed, absmax, bias.size(0), group_size, bias, q.absmax_code, q.nested_absmax, q.absmax_offset,
            nested_block_size);
}
inline Tensor nf4_mm_backward(const Tensor& grad, const Tensor& packed, const Tensor& absmax, int64_t K) {
  using Function = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, int64_t, const Optional&, const Optional&,
                          const Optional&, int64_t);
  return operator_of<Function>("torchao::nf4_mm_backward")
      .call(grad, packed, absmax, K, group_size, {}, {}, {}, nested_block_size);
}

}  // namespace torchao_ops::test
