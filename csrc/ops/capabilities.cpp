#include <dlfcn.h>

#include <sstream>
#include <string>

#include "csrc/cpu/isa.h"
#include "csrc/ops/check.h"
#include "csrc/ops/cuda.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

std::string json_bool(bool value) { return value ? "true" : "false"; }

// A JSON array of the words in `text`.
std::string json_words(const std::string& text) {
  std::string array = "[";
  std::istringstream words(text);
  for (std::string word; words >> word;) array += (array.size() > 1 ? ", \"" : "\"") + word + "\"";
  return array + "]";
}

// Loading one would cost an import that needs neither tenths of a second.
bool is_loaded(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

#ifdef TORCHAO_OPS_CUSPARSELT
constexpr bool knows_cusparselt = true;
#else
constexpr bool knows_cusparselt = false;
#endif

#ifndef TORCHAO_OPS_CUDA_ARCHS
#define TORCHAO_OPS_CUDA_ARCHS ""
#endif

}  // namespace

// The JSON object that `torchao::capabilities` documents:
//   version          of this library
//   torch_abi        the oldest torch whose stable ABI it needs, "2.10"
//   isa              in use: "scalar", "avx2" or "avx512"
//   isa_available    those that this CPU has
//   avx512_bf16      whether the bf16 dot product is used as well
//   avx512_vbmi2     whether expanding of 16-bit numbers is
//   cuda_archs       built in: "sm_90a" for code, "compute_80" for PTX; [] if none
//   cublaslt, cusparselt  whether the process has loaded it, as torch with CUDA does; cuSPARSELt only if this library was built for it
std::string op_capabilities() {
  Isa isa;
  check_status("capabilities", isa_in_use(&isa));
  std::string available;
  for (const Isa candidate : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (cpu_has(candidate)) available += (available.empty() ? "\"" : ", \"") + std::string(isa_name(candidate)) + "\"";
  }
  return std::string("{\"version\": \"") + TORCHAO_OPS_VERSION + "\", \"torch_abi\": \"2.10\", \"isa\": \"" + isa_name(isa) +
         "\", \"isa_available\": [" + available +
         "], \"avx512_bf16\": " + json_bool(isa == Isa::avx512 && cpu_has_avx512_bf16()) +
         ", \"avx512_vbmi2\": " + json_bool(isa == Isa::avx512 && cpu_has_avx512_vbmi2()) +
         ", \"cuda_archs\": " + json_words(TORCHAO_OPS_CUDA_ARCHS) +
         ", \"cublaslt\": " + json_bool(is_loaded("libcublasLt.so.13") || is_loaded("libcublasLt.so.12")) +
         ", \"cusparselt\": " + json_bool(knows_cusparselt && is_loaded("libcusparseLt.so.0")) + "}";
}

}  // namespace torchao_ops
