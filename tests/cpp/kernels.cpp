#include "tests/cpp/kernels.h"

#include <map>

#include "csrc/spec/batch_invariant.h"
#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/int4_quantize.h"
#include "csrc/cpu/isa.h"

namespace torchao_ops::test {
namespace {

#ifdef TORCHAO_OPS_EMULATE_AVX512
constexpr bool emulated = true;
#else
constexpr bool emulated = false;
#endif

const Int4MmKernel all_int4_mm[] = {
    {"int4_mm", Needs::dispatch, nullptr, int4_mm, batch_invariant()},
    {"int4_mm_scalar", Needs::scalar, nullptr, int4_mm_scalar},
    {"int4_mm_decode_avx2", Needs::avx2, supports_int4_mm_decode, int4_mm_decode_avx2},
    {"int4_mm_prefill_avx2", Needs::avx2, nullptr, int4_mm_prefill_avx2},
    {"int4_mm_decode_avx512", Needs::avx512, supports_int4_mm_decode, int4_mm_decode_avx512},
    {"int4_mm_prefill_avx512", Needs::avx512, nullptr, int4_mm_prefill_avx512},
    {"int4_mm_decode_avx512_bf16", Needs::avx512_bf16, supports_int4_mm_decode_bf16, int4_mm_decode_avx512_bf16},
    {"int4_mm_prefill_avx512_bf16", Needs::avx512_bf16, supports_int4_mm_prefill_bf16, int4_mm_prefill_avx512_bf16},
};

const Int4MmKernel all_int4_dynamic_mm[] = {
    {"int4_dynamic_mm", Needs::dispatch, nullptr, int4_dynamic_mm, batch_invariant()},
    {"int4_dynamic_mm_scalar", Needs::scalar, nullptr, int4_dynamic_mm_scalar},
    {"int4_dynamic_mm_decode_avx2", Needs::avx2, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx2},
    {"int4_dynamic_mm_prefill_avx2", Needs::avx2, nullptr, int4_dynamic_mm_prefill_avx2},
    {"int4_dynamic_mm_decode_avx512", Needs::avx512, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx512},
    {"int4_dynamic_mm_prefill_avx512", Needs::avx512, nullptr, int4_dynamic_mm_prefill_avx512},
};

const Int4QuantizeKernel all_int4_quantize[] = {
    {"int4_quantize", Needs::dispatch, nullptr, int4_quantize},
    {"int4_quantize_scalar", Needs::scalar, nullptr, int4_quantize_scalar},
    {"int4_quantize_avx2", Needs::avx2, nullptr, int4_quantize_avx2},
};

const Int4DequantizeKernel all_int4_dequantize[] = {
    {"int4_dequantize", Needs::dispatch, nullptr, int4_dequantize},
    {"int4_dequantize_scalar", Needs::scalar, nullptr, int4_dequantize_scalar},
    {"int4_dequantize_avx2", Needs::avx2, nullptr, int4_dequantize_avx2},
    {"int4_dequantize_avx512", Needs::avx512, nullptr, int4_dequantize_avx512},
};

struct Row {
  std::string isa;
  const char* skip_reason;  // null if it can run
  int64_t cases;
};

// Kernels of the operators that tests asked for, by name.
std::map<std::string, Row>& rows() {
  static std::map<std::string, Row> all;
  return all;
}

const char* isa_of(Needs needs) {
  switch (needs) {
    case Needs::dispatch: return "dispatch";
    case Needs::scalar: return "scalar";
    case Needs::avx2: return "avx2";
    case Needs::avx512: return "avx512";
    case Needs::avx512_bf16: return "avx512_bf16";
  }
  return "";
}

bool cpu_can_run(Needs needs) {
  switch (needs) {
    case Needs::dispatch: return true;
    case Needs::scalar: return cpu_has(Isa::scalar);
    case Needs::avx2: return cpu_has(Isa::avx2);
    case Needs::avx512: return cpu_has(Isa::avx512);
    case Needs::avx512_bf16: return cpu_has_avx512_bf16();
  }
  return false;
}

const char* skip_reason(Needs needs) {
  if (emulated) {
    if (needs == Needs::avx512 || needs == Needs::avx512_bf16) return nullptr;
    return "another program tests what needs no emulation";
  }
  return cpu_can_run(needs) ? nullptr : "this CPU lacks the instruction set";
}

template <class Table>
auto runnable(const Table& table) {
  std::vector<std::decay_t<decltype(table[0])>> kernels;
  for (const auto& kernel : table) {
    const char* reason = skip_reason(kernel.needs);
    const std::string isa = isa_of(kernel.needs);
    rows().insert({kernel.name, Row{emulated ? isa + ", emulated" : isa, reason, 0}});
    if (reason == nullptr) kernels.push_back(kernel);
  }
  return kernels;
}

}  // namespace

std::vector<Int4MmKernel> int4_mm_kernels() { return runnable(all_int4_mm); }
std::vector<Int4MmKernel> int4_dynamic_mm_kernels() { return runnable(all_int4_dynamic_mm); }
std::vector<Int4QuantizeKernel> int4_quantize_kernels() { return runnable(all_int4_quantize); }
std::vector<Int4DequantizeKernel> int4_dequantize_kernels() { return runnable(all_int4_dequantize); }

void count_case(const char* kernel_name) { ++rows().at(kernel_name).cases; }

Summary summary() {
  Summary result{"", true};
  bool avx512_ran = false;
  for (const auto& [name, row] : rows()) {
    result.text += "  " + name + " (" + row.isa + "): ";
    if (row.skip_reason != nullptr) {
      result.text += std::string("skipped, ") + row.skip_reason + "\n";
      continue;
    }
    result.text += std::to_string(row.cases) + " cases\n";
    result.complete = result.complete && row.cases > 0;
    avx512_ran = avx512_ran || (row.isa == isa_of(Needs::avx512) && row.cases > 0);
  }
  if (!emulated && !rows().empty() && cpu_has(Isa::avx512) && !avx512_ran) {
    result.text += "  no avx512 kernel ran, though this CPU has AVX-512\n";
    result.complete = false;
  }
  return result;
}

}  // namespace torchao_ops::test
