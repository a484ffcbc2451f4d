// A C++ program on the installed library, without Python:
//
//   consumer ops             calls each operator through torchao_ops.h and compares the products with dense ones
//   consumer MODEL IO.pt     runs a model saved by Python (TorchScript .ts or .pt; AOTInductor .pt2) and compares its result with Python's.
//                            IO.pt: torch.save of the list [inputs..., expected]
//
// Prints a line for each check. The exit status is 1 if one fails, 2 if something cannot be read or run.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torchao_ops.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

double relative_error(const at::Tensor& got, const at::Tensor& expected) {
  const at::Tensor e = expected.to(at::kDouble);
  return ((got.to(at::kDouble) - e).norm() / e.norm()).item<double>();
}

bool report(const std::string& what, double error, double limit) {
  std::printf("%s: relative error %.2g (at most %.2g)\n", what.c_str(), error, limit);
  return error <= limit;
}

bool check_ops() {
  at::manual_seed(1);
  std::printf("capabilities: %s\n", torchao_ops::capabilities().c_str());
  const int64_t M = 5, N = 48, K = 100, group_size = 32;  // the last group is partial
  const at::Tensor weight = at::randn({N, K}), x = at::randn({M, K}), bias = at::randn({N});
  bool ok = true;
  for (const bool symmetric : {false, true}) {
    const std::string name = symmetric ? "symmetric " : "asymmetric ";
    const auto [packed, scale, zero_point] = torchao_ops::int4_quantize(weight, group_size, symmetric);
    const at::Tensor dequantized = torchao_ops::int4_dequantize(packed, scale, zero_point, group_size, K);
    // The range of 32 normal numbers is about 4.1 standard deviations, 15 steps; their largest magnitude about 2.4, 7 steps. An error
    // uniform in a step is step / sqrt(12): 0.08 and 0.1.
    ok = report(name + "int4_dequantize(int4_quantize(w))", relative_error(dequantized, weight), symmetric ? 0.13 : 0.1) && ok;
    const at::Tensor dense = at::linear(x, dequantized, bias);
    ok = report(name + "int4_mm", relative_error(torchao_ops::int4_mm(x, packed, scale, zero_point, group_size, bias), dense),
                1e-6) &&
         ok;
    // The largest magnitude of 100 normal numbers is about 2.7 standard deviations, 127 steps: an error of 0.006.
    ok = report(name + "int4_dynamic_mm",
                relative_error(torchao_ops::int4_dynamic_mm(x, packed, scale, zero_point, group_size, bias), dense), 0.01) &&
         ok;
  }
  return ok;
}

std::vector<at::Tensor> load_tensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<at::Tensor> tensors;
  const c10::IValue list = torch::jit::pickle_load(bytes);
  for (const c10::IValue& value : list.toListRef()) tensors.push_back(value.toTensor());
  if (tensors.empty()) throw std::runtime_error(path + " holds no tensors");
  return tensors;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

at::Tensor run_model(const std::string& path, const std::vector<at::Tensor>& inputs) {
  if (ends_with(path, ".pt2")) return torch::inductor::AOTIModelPackageLoader(path).run(inputs).at(0);
  torch::jit::Module module = torch::jit::load(path);
  return module.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end())).toTensor();
}

bool check_model(const std::string& model_path, const std::string& io_path) {
  std::vector<at::Tensor> tensors = load_tensors(io_path);
  const at::Tensor expected = tensors.back();
  tensors.pop_back();
  const at::Tensor y = run_model(model_path, tensors);
  if (y.sizes() != expected.sizes() || y.scalar_type() != expected.scalar_type()) {
    std::printf("%s: the result's shape or dtype is not Python's\n", model_path.c_str());
    return false;
  }
  if (at::equal(y, expected)) {
    std::printf("%s: %lld numbers, bit for bit those of Python\n", model_path.c_str(), static_cast<long long>(y.numel()));
    return true;
  }
  const double difference = (y.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  // TorchScript calls the operators that Python called. AOTInductor's compiled code between them may add in another order.
  const bool close = ends_with(model_path, ".pt2") && at::allclose(y, expected, 1e-5, 1e-6);
  std::printf("%s: %lld numbers, at most %.3g from those of Python%s\n", model_path.c_str(), static_cast<long long>(y.numel()),
              difference, close ? "" : ": too far");
  return close;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const c10::InferenceMode no_gradients;
    if (argc == 2 && std::string(argv[1]) == "ops") return check_ops() ? 0 : 1;
    if (argc == 3) return check_model(argv[1], argv[2]) ? 0 : 1;
    std::fprintf(stderr, "usage: consumer ops | consumer MODEL IO.pt\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
  }
  return 2;
}
