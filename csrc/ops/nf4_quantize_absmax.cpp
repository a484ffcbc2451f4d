#include "csrc/cpu/nf4_quantize_absmax.h"

#include "csrc/cuda/nf4_quantize_absmax.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/nf4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Quantizes on absmax's device.
using Backend = Status (*)(const Nf4QuantizeAbsmaxArgs& args, const Tensor& absmax);

std::tuple<Tensor, Tensor, Tensor, Tensor> quantize(Backend backend, const Tensor& absmax, int64_t nested_block_size) {
  const char* op = "nf4_quantize_absmax";
  check_has_kernels(op, "absmax", absmax);
  const FloatType type = check_float(op, "absmax", absmax);
  check_rank(op, "absmax", absmax, "[blocks]", 1);
  check_at_least(op, "nested_block_size", nested_block_size, 1);

  const int64_t count = absmax.numel();
  const auto new_floats = [&](std::initializer_list<int64_t> sizes) {
    return torch::stable::new_empty(absmax, sizes, ScalarType::Float);
  };
  const Tensor codes = torch::stable::new_empty(absmax, {count}, ScalarType::Byte);
  const Tensor absmax_code = new_floats({256}), nested_absmax = new_floats({ceil_div(count, nested_block_size)});
  const Tensor offset = new_floats({});
  const Tensor flat = torch::stable::contiguous(absmax);
  Nf4QuantizeAbsmaxArgs args{};
  args.absmax = flat.const_data_ptr();
  args.type = type;
  args.count = count;
  args.nested_block_size = nested_block_size;
  args.codes = static_cast<uint8_t*>(codes.mutable_data_ptr());
  args.absmax_code = static_cast<float*>(absmax_code.mutable_data_ptr());
  args.nested_absmax = static_cast<float*>(nested_absmax.mutable_data_ptr());
  args.offset = static_cast<float*>(offset.mutable_data_ptr());
  check_status(op, backend(args, absmax));
  return {codes, absmax_code, nested_absmax, offset};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor, Tensor, Tensor> op_nf4_quantize_absmax(const Tensor& absmax, int64_t nested_block_size) {
  const Backend backend = [](const Nf4QuantizeAbsmaxArgs& args, const Tensor&) {
    return nf4_quantize_absmax(args, torch_threads(args.count));
  };
  return quantize(backend, absmax, nested_block_size);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor, Tensor, Tensor> op_nf4_quantize_absmax(const Tensor& absmax, int64_t nested_block_size) {
  const Backend backend = [](const Nf4QuantizeAbsmaxArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return nf4_quantize_absmax(args, context); });
  };
  return quantize(backend, absmax, nested_block_size);
}

}  // namespace cuda
}  // namespace torchao_ops
