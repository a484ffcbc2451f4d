// Checks that every operator shares, and the one place where a failure becomes a sentence:
//   {operator}: {argument} must {requirement}, but got {what came}
// python/torchao_ops/ops/_check.py says the same sentences for fake tensors; tests/py holds the two together.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "csrc/spec/float_types.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Throws std::runtime_error("{op}: {argument} must {requirement}, but {reality}"), and the same with "got {got}" for what is real.
[[noreturn]] void fail_but(const char* op, const char* argument, const std::string& requirement, const std::string& reality);
[[noreturn]] void fail(const char* op, const char* argument, const std::string& requirement, const std::string& got);

// Throws what a kernel's status means; returns if it is ok.
void check_status(const char* op, Status status);

std::string shape_text(Sizes sizes);  // "[4096, 32]"
std::string shape_text(const Tensor& tensor);
std::string dtype_text(ScalarType dtype);       // "float32"
std::string device_text(const Tensor& tensor);  // "cpu", "cuda:0"

// The tensor must be on the same device as `first`, which the sentence calls by its name.
void check_device(const char* op, const char* argument, const Tensor& tensor, const char* first_name, const Tensor& first);
// float32, float16 or bfloat16; returns which.
FloatType check_float(const char* op, const char* argument, const Tensor& tensor);
FloatType check_float(const char* op, const char* argument, ScalarType dtype);
void check_dtype(const char* op, const char* argument, const Tensor& tensor, ScalarType dtype);
// `layout` names the dimensions ("[N, ceil(K / 2)]"), `sizes` is what they are here.
void check_shape(const char* op, const char* argument, const Tensor& tensor, const char* layout, Sizes sizes);
void check_rank(const char* op, const char* argument, const Tensor& tensor, const char* layout, int64_t rank);
void check_at_least(const char* op, const char* argument, int64_t value, int64_t minimum);

}  // namespace torchao_ops
