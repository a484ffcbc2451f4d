#include "csrc/ops/check.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <stdexcept>

#include "csrc/cpu/isa.h"
#include "csrc/ops/cuda.h"

namespace torchao_ops {

void fail_but(const char* op, const char* argument, const std::string& requirement, const std::string& reality) {
  throw std::runtime_error(std::string(op) + ": " + argument + " must " + requirement + ", but " + reality);
}

void fail(const char* op, const char* argument, const std::string& requirement, const std::string& got) {
  fail_but(op, argument, requirement, "got " + got);
}

void check_status(const char* op, Status status) {
  switch (status) {
    case Status::ok: return;
    case Status::out_of_memory: throw std::runtime_error(std::string(op) + ": out of memory for scratch space");
    case Status::isa_unknown: fail(op, "the environment variable TORCHAO_OPS_ISA", "be scalar, avx2 or avx512", isa_override());
    case Status::isa_unavailable:
      fail(op, "the environment variable TORCHAO_OPS_ISA", "name an instruction set that this CPU has", isa_override());
    case Status::cuda_failed:
    case Status::cublaslt_failed: throw std::runtime_error(std::string(op) + ": " + cuda_error_text());
  }
}

std::string shape_text(Sizes sizes) {
  std::string text = "[";
  for (const int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

std::string shape_text(const Tensor& tensor) { return shape_text(tensor.sizes()); }

std::string dtype_text(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Byte: return "uint8";
    case ScalarType::Char: return "int8";
    case ScalarType::Short: return "int16";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    case ScalarType::UInt16: return "uint16";
    case ScalarType::UInt32: return "uint32";
    case ScalarType::UInt64: return "uint64";
    case ScalarType::Half: return "float16";
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::ComplexHalf: return "complex32";
    case ScalarType::ComplexFloat: return "complex64";
    case ScalarType::ComplexDouble: return "complex128";
    case ScalarType::Bool: return "bool";
    case ScalarType::Float8_e5m2: return "float8_e5m2";
    case ScalarType::Float8_e4m3fn: return "float8_e4m3fn";
    case ScalarType::Float8_e5m2fnuz: return "float8_e5m2fnuz";
    case ScalarType::Float8_e4m3fnuz: return "float8_e4m3fnuz";
    case ScalarType::Float8_e8m0fnu: return "float8_e8m0fnu";
    default: return "dtype " + std::to_string(static_cast<int>(dtype));
  }
}

std::string device_text(const Tensor& tensor) {
  int32_t type;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor.get(), &type));
  if (type == aoti_torch_device_type_cpu()) return "cpu";
  if (type == aoti_torch_device_type_meta()) return "meta";
  const std::string index = std::to_string(tensor.get_device_index());
  if (type == aoti_torch_device_type_cuda()) return "cuda:" + index;
  return "device type " + std::to_string(type) + ":" + index;
}

void check_device(const char* op, const char* argument, const Tensor& tensor, const char* first_name, const Tensor& first) {
  const std::string expected = device_text(first), got = device_text(tensor);
  if (expected != got) fail(op, argument, std::string("be on ") + first_name + "'s device " + expected, got);
}

FloatType check_float(const char* op, const char* argument, ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float: return FloatType::f32;
    case ScalarType::Half: return FloatType::f16;
    case ScalarType::BFloat16: return FloatType::bf16;
    default: fail(op, argument, "be float32, float16 or bfloat16", dtype_text(dtype));
  }
}

FloatType check_float(const char* op, const char* argument, const Tensor& tensor) {
  return check_float(op, argument, tensor.scalar_type());
}

void check_dtype(const char* op, const char* argument, const Tensor& tensor, ScalarType dtype) {
  if (tensor.scalar_type() != dtype) fail(op, argument, "be " + dtype_text(dtype), dtype_text(tensor.scalar_type()));
}

void check_shape(const char* op, const char* argument, const Tensor& tensor, const char* layout, Sizes sizes) {
  if (!tensor.sizes().equals(sizes))
    fail(op, argument, std::string("be ") + layout + " = " + shape_text(sizes), shape_text(tensor));
}

void check_rank(const char* op, const char* argument, const Tensor& tensor, const char* layout, int64_t rank) {
  if (tensor.dim() != rank) fail(op, argument, std::string("be ") + layout, shape_text(tensor));
}

void check_at_least(const char* op, const char* argument, int64_t value, int64_t minimum) {
  if (value < minimum) fail(op, argument, "be at least " + std::to_string(minimum), std::to_string(value));
}

}  // namespace torchao_ops
