#include "csrc/cpu/nf4_dequantize.h"

#include "csrc/cuda/nf4_dequantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/nf4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

constexpr const char* op = "nf4_dequantize";

// Computes the weight on out's device.
using Backend = Status (*)(const Nf4DequantizeArgs& args, const Tensor& out);

// How many elements a tensor of this shape has.
int64_t check_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  bool overflows = false;
  for (const int64_t size : shape) {
    if (size < 0) fail(op, "shape", "have sizes of at least 0", shape_text(shape));
    overflows = overflows || (size != 0 && count > INT64_MAX / size);
    if (!overflows || size == 0) count *= size;
  }
  if (overflows && count != 0) {
    fail(op, "shape", "have at most " + std::to_string(INT64_MAX) + " elements", shape_text(shape));
  }
  return count;
}

// What both forms check. The weight as rows of the shape's last dimension, which is all one to a format that is flat.
Nf4Weight check_arguments(const Nf4Arguments& arguments, const std::vector<int64_t>& shape) {
  check_nf4_devices(op, arguments, "weight_packed", arguments.packed);
  check_has_kernels(op, "weight_packed", arguments.packed);
  const int64_t count = check_count(shape);
  const int64_t columns = shape.empty() ? 1 : shape.back();
  return check_nf4_weight(op, arguments, columns == 0 ? 0 : count / columns, columns, "prod(shape)");
}

bool shares_memory(const Tensor& a, const Tensor& b) {
  const auto begin = [](const Tensor& tensor) { return static_cast<const char*>(tensor.const_data_ptr()); };
  const auto end = [&](const Tensor& tensor) { return begin(tensor) + tensor.numel() * tensor.element_size(); };
  return begin(a) < end(b) && begin(b) < end(a);
}

// Whether a kernel may write into `out` while it reads the weight.
bool can_be_written(const Tensor& out, const Nf4Weight& weight) {
  if (!out.is_contiguous() || shares_memory(out, weight.packed) || shares_memory(out, weight.absmax)) return false;
  return !weight.absmax_code || !(shares_memory(out, *weight.absmax_code) || shares_memory(out, *weight.nested_absmax) ||
                                  shares_memory(out, *weight.absmax_offset));
}

Tensor dequantize(Backend backend, const Nf4Arguments& arguments, const std::vector<int64_t>& shape,
                  std::optional<ScalarType> dtype) {
  const Nf4Weight weight = check_arguments(arguments, shape);
  const ScalarType absmax_dtype = weight.absmax_code ? ScalarType::Float : arguments.absmax.scalar_type();
  const ScalarType out_dtype = dtype.value_or(absmax_dtype);
  const FloatType out_type = check_float(op, "dtype", out_dtype);

  Tensor out = torch::stable::new_empty(arguments.packed, shape, out_dtype);
  if (out.numel() == 0) return out;
  check_status(op, backend({weight.view, out.mutable_data_ptr(), out_type}, out));
  return out;
}

Tensor dequantize_out(Backend backend, const Nf4Arguments& arguments, const std::vector<int64_t>& shape, Tensor out) {
  check_device(op, "out", out, "weight_packed", arguments.packed);
  const Nf4Weight weight = check_arguments(arguments, shape);
  const FloatType out_type = check_float(op, "out", out);
  check_shape(op, "out", out, "shape", shape);
  for (int64_t i = 0; i < out.dim(); ++i) {
    if (out.size(i) > 1 && out.stride(i) == 0) fail(op, "out", "have memory for each element", "an expanded tensor");
  }

  if (out.numel() == 0) return out;
  const bool direct = can_be_written(out, weight);
  const Tensor result = direct ? out : torch::stable::new_empty(out, shape);
  check_status(op, backend({weight.view, result.mutable_data_ptr(), out_type}, result));
  if (!direct) torch::stable::copy_(out, result);
  return out;
}

}  // namespace

namespace cpu {
namespace {

Status backend(const Nf4DequantizeArgs& args, const Tensor& out) { return nf4_dequantize(args, torch_threads(out.numel())); }

}  // namespace

Tensor op_nf4_dequantize(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape, int64_t block_size,
                         std::optional<ScalarType> dtype, const std::optional<Tensor>& absmax_code,
                         const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                         int64_t nested_block_size) {
  return dequantize(backend, {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                    shape, dtype);
}

Tensor op_nf4_dequantize_out(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape,
                             int64_t block_size, const std::optional<Tensor>& absmax_code,
                             const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                             int64_t nested_block_size, const Tensor& out) {
  return dequantize_out(
      backend, {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size}, shape, out);
}

}  // namespace cpu

namespace cuda {
namespace {

Status backend(const Nf4DequantizeArgs& args, const Tensor& out) {
  return run_on_cuda(out, [&](const Context& context) { return nf4_dequantize(args, context); });
}

}  // namespace

Tensor op_nf4_dequantize(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape, int64_t block_size,
                         std::optional<ScalarType> dtype, const std::optional<Tensor>& absmax_code,
                         const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                         int64_t nested_block_size) {
  return dequantize(backend, {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size},
                    shape, dtype);
}

Tensor op_nf4_dequantize_out(const Tensor& weight_packed, const Tensor& absmax, const std::vector<int64_t>& shape,
                             int64_t block_size, const std::optional<Tensor>& absmax_code,
                             const std::optional<Tensor>& nested_absmax, const std::optional<Tensor>& absmax_offset,
                             int64_t nested_block_size, const Tensor& out) {
  return dequantize_out(
      backend, {weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size}, shape, out);
}

}  // namespace cuda
}  // namespace torchao_ops
