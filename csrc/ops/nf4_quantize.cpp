#include "csrc/cpu/nf4_quantize.h"

#include "csrc/cuda/nf4_quantize.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/nf4_weight.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

// Quantizes on the weight's device.
using Backend = Status (*)(const Nf4QuantizeArgs& args, const Tensor& weight);

std::tuple<Tensor, Tensor> quantize(Backend backend, const Tensor& weight, int64_t block_size) {
  const char* op = "nf4_quantize";
  check_has_kernels(op, "weight", weight);
  const FloatType type = check_float(op, "weight", weight);
  check_block_size(op, block_size);

  const int64_t count = weight.numel();
  const Tensor packed = torch::stable::new_empty(weight, {nf4::packed_bytes(count)}, ScalarType::Byte);
  const Tensor absmax = torch::stable::new_empty(weight, {ceil_div(count, block_size)}, ScalarType::Float);
  if (count == 0) return {packed, absmax};
  const Tensor flat = torch::stable::contiguous(weight);
  Nf4QuantizeArgs args{};
  args.weight = flat.const_data_ptr();
  args.type = type;
  args.count = count;
  args.block_size = block_size;
  args.packed = static_cast<uint8_t*>(packed.mutable_data_ptr());
  args.absmax = static_cast<float*>(absmax.mutable_data_ptr());
  check_status(op, backend(args, weight));
  return {packed, absmax};
}

}  // namespace

namespace cpu {

std::tuple<Tensor, Tensor> op_nf4_quantize(const Tensor& weight, int64_t block_size) {
  const Backend backend = [](const Nf4QuantizeArgs& args, const Tensor&) {
    return nf4_quantize(args, torch_threads(args.count));
  };
  return quantize(backend, weight, block_size);
}

}  // namespace cpu

namespace cuda {

std::tuple<Tensor, Tensor> op_nf4_quantize(const Tensor& weight, int64_t block_size) {
  const Backend backend = [](const Nf4QuantizeArgs& args, const Tensor& on) {
    return run_on_cuda(on, [&](const Context& context) { return nf4_quantize(args, context); });
  };
  return quantize(backend, weight, block_size);
}

}  // namespace cuda
}  // namespace torchao_ops
