#include "csrc/ops/nf4_weight.h"

namespace torchao_ops {
namespace {

// The tensors of a double quantization come together, and only with it.
void check_presence(const char* op, const char* argument, const std::optional<Tensor>& tensor, bool doubly_quantized) {
  if (doubly_quantized && !tensor) fail(op, argument, "be given with a uint8 absmax", "None");
  if (!doubly_quantized && tensor) fail(op, argument, "be None unless absmax is uint8", "a tensor");
}

Tensor adjacent(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

// On CUDA also as aligned as a copy (as_weight). The codes are one row there: those of a weight whose rows begin within bytes have no others.
Tensor adjacent_codes(const Tensor& packed) {
  const Tensor flat = adjacent(packed);
  return flat.is_cuda() ? as_weight(torch::stable::view(flat, {1, flat.numel()})) : flat;
}

const float* floats(const Tensor& tensor) { return static_cast<const float*>(tensor.const_data_ptr()); }

}  // namespace

void check_nf4_devices(const char* op, const Nf4Arguments& arguments, const char* first_name, const Tensor& first) {
  check_device(op, "weight_packed", arguments.packed, first_name, first);
  check_device(op, "absmax", arguments.absmax, first_name, first);
  if (arguments.absmax_code) check_device(op, "absmax_code", *arguments.absmax_code, first_name, first);
  if (arguments.nested_absmax) check_device(op, "nested_absmax", *arguments.nested_absmax, first_name, first);
  if (arguments.absmax_offset) check_device(op, "absmax_offset", *arguments.absmax_offset, first_name, first);
}

void check_block_size(const char* op, int64_t block_size) {
  const bool power_of_two = block_size > 0 && (block_size & (block_size - 1)) == 0;
  if (!power_of_two || block_size < 32) fail(op, "block_size", "be a power of two of at least 32", std::to_string(block_size));
}

void check_features(const char* op, const char* argument, int64_t features, int64_t others) {
  check_at_least(op, argument, features, 0);
  const int64_t most = others == 0 ? INT64_MAX : INT64_MAX / others;
  if (features > most) fail(op, argument, "be at most " + std::to_string(most), std::to_string(features));
}

Nf4Weight check_nf4_weight(const char* op, const Nf4Arguments& arguments, int64_t N, int64_t K, const std::string& count_name) {
  check_block_size(op, arguments.block_size);
  check_at_least(op, "nested_block_size", arguments.nested_block_size, 1);

  const Tensor& packed = arguments.packed;
  check_dtype(op, "weight_packed", packed, ScalarType::Byte);
  const int64_t bytes = nf4::packed_bytes(N * K);
  const std::string packed_layout = "[ceil(" + count_name + " / 2)";
  if (packed.dim() == 2 && packed.size(1) == 1) {  // bitsandbytes'
    check_shape(op, "weight_packed", packed, (packed_layout + ", 1]").c_str(), {bytes, 1});
  } else {
    check_shape(op, "weight_packed", packed, (packed_layout + "]").c_str(), {bytes});
  }

  const Tensor& absmax = arguments.absmax;
  const bool doubly_quantized = absmax.scalar_type() == ScalarType::Byte;
  switch (absmax.scalar_type()) {
    case ScalarType::Byte:
    case ScalarType::Float:
    case ScalarType::Half:
    case ScalarType::BFloat16: break;
    default: fail(op, "absmax", "be float32, float16, bfloat16 or uint8", dtype_text(absmax.scalar_type()));
  }
  check_presence(op, "absmax_code", arguments.absmax_code, doubly_quantized);
  check_presence(op, "nested_absmax", arguments.nested_absmax, doubly_quantized);
  check_presence(op, "absmax_offset", arguments.absmax_offset, doubly_quantized);
  const int64_t blocks = ceil_div(N * K, arguments.block_size);
  check_shape(op, "absmax", absmax, ("[ceil(" + count_name + " / block_size)]").c_str(), {blocks});
  if (doubly_quantized) {
    check_dtype(op, "absmax_code", *arguments.absmax_code, ScalarType::Float);
    check_shape(op, "absmax_code", *arguments.absmax_code, "[256]", {256});
    check_dtype(op, "nested_absmax", *arguments.nested_absmax, ScalarType::Float);
    check_shape(op, "nested_absmax", *arguments.nested_absmax, "[ceil(blocks / nested_block_size)]",
                {ceil_div(blocks, arguments.nested_block_size)});
    const Tensor& offset = *arguments.absmax_offset;
    check_dtype(op, "absmax_offset", offset, ScalarType::Float);
    if (offset.dim() > 1 || offset.numel() != 1) fail(op, "absmax_offset", "be [] or [1]", shape_text(offset));
  }

  Nf4Weight weight{adjacent_codes(packed), adjacent(absmax), {}, {}, arguments.absmax_offset, {}};
  weight.view.packed = static_cast<const uint8_t*>(weight.packed.const_data_ptr());
  weight.view.absmax = weight.absmax.const_data_ptr();
  if (doubly_quantized) {
    weight.absmax_code = adjacent(*arguments.absmax_code);
    weight.nested_absmax = adjacent(*arguments.nested_absmax);
    weight.view.absmax_code = floats(*weight.absmax_code);
    weight.view.nested_absmax = floats(*weight.nested_absmax);
    weight.view.absmax_offset = floats(*weight.absmax_offset);
  } else {
    weight.view.absmax_type = check_float(op, "absmax", absmax);
  }
  weight.view.nested_block_size = arguments.nested_block_size;
  weight.view.N = N;
  weight.view.K = K;
  weight.view.group_size = arguments.block_size;
  return weight;
}

}  // namespace torchao_ops
