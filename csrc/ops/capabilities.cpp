#include <string>

#include "csrc/cpu/isa.h"
#include "csrc/ops/check.h"
#include "csrc/ops/operators.h"

namespace torchao_ops {
namespace {

std::string json_bool(bool value) { return value ? "true" : "false"; }

}  // namespace

// The JSON object that `torchao::capabilities` documents:
//   version          of this library
//   torch_abi        the oldest torch whose stable ABI it needs, "2.10"
//   isa              in use: "scalar", "avx2" or "avx512"
//   isa_available    those that this CPU has
//   avx512_bf16      whether the bf16 dot product is used as well
//   cuda_archs       built in, [] if none
//   cublaslt, cusparselt  whether found at run time
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
         ", \"cuda_archs\": [], \"cublaslt\": false, \"cusparselt\": false}";
}

}  // namespace torchao_ops
