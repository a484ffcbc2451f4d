#include "csrc/cpu/isa.h"

#include <cstdlib>
#include <string>

namespace torchao_ops {
namespace {

struct Choice {
  Status status;
  Isa isa;
  std::string override_name;
};

Choice choose() {
  const char* name = std::getenv("TORCHAO_OPS_ISA");
  if (name == nullptr || *name == '\0') {
    if (cpu_has(Isa::avx512)) return {Status::ok, Isa::avx512, ""};
    if (cpu_has(Isa::avx2)) return {Status::ok, Isa::avx2, ""};
    return {Status::ok, Isa::scalar, ""};
  }
  for (Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (std::string(name) == isa_name(isa)) return {cpu_has(isa) ? Status::ok : Status::isa_unavailable, isa, name};
  }
  return {Status::isa_unknown, Isa::scalar, name};
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
  }
  return "";
}

bool cpu_has(Isa isa) {
  switch (isa) {
    case Isa::scalar: return true;
    case Isa::avx2:
      // F16C is not asked for: no CPU has AVX2 and FMA without it, and clang 14 does not know its name.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return cpu_has(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vnni");
  }
  return false;
}

bool cpu_has_avx512_bf16() { return cpu_has(Isa::avx512) && __builtin_cpu_supports("avx512bf16"); }

bool cpu_has_avx512_vbmi2() { return cpu_has_avx512_bf16() && __builtin_cpu_supports("avx512vbmi2"); }

Status isa_in_use(Isa* isa) {
  *isa = choice().isa;
  return choice().status;
}

const char* isa_override() { return choice().override_name.c_str(); }

}  // namespace torchao_ops
