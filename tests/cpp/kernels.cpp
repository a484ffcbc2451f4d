#include "tests/cpp/kernels.h"

#include <map>

#include "csrc/cpu/int4_dequantize.h"
#include "csrc/cpu/int4_dynamic_mm.h"
#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/int4_quantize.h"

namespace torchao_ops::test {
namespace {

#ifdef TORCHAO_OPS_EMULATE_AVX512
constexpr bool emulated = true;
#else
constexpr bool emulated = false;
#endif

const Int4MmKernel all_int4_mm[] = {
    {"int4_mm", std::nullopt, nullptr, int4_mm},
    {"int4_mm_scalar", Isa::scalar, nullptr, int4_mm_scalar},
    {"int4_mm_decode_avx2", Isa::avx2, supports_int4_mm_decode, int4_mm_decode_avx2},
    {"int4_mm_prefill_avx2", Isa::avx2, nullptr, int4_mm_prefill_avx2},
    {"int4_mm_decode_avx512", Isa::avx512, supports_int4_mm_decode, int4_mm_decode_avx512},
    {"int4_mm_prefill_avx512", Isa::avx512, nullptr, int4_mm_prefill_avx512},
    {"int4_mm_decode_avx512_bf16", Isa::avx512, supports_int4_mm_decode_bf16, int4_mm_decode_avx512_bf16, cpu_has_avx512_bf16},
    {"int4_mm_prefill_avx512_bf16", Isa::avx512, supports_int4_mm_prefill_bf16, int4_mm_prefill_avx512_bf16, cpu_has_avx512_bf16},
};

const Int4MmKernel all_int4_dynamic_mm[] = {
    {"int4_dynamic_mm", std::nullopt, nullptr, int4_dynamic_mm},
    {"int4_dynamic_mm_scalar", Isa::scalar, nullptr, int4_dynamic_mm_scalar},
    {"int4_dynamic_mm_decode_avx2", Isa::avx2, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx2},
    {"int4_dynamic_mm_prefill_avx2", Isa::avx2, nullptr, int4_dynamic_mm_prefill_avx2},
    {"int4_dynamic_mm_decode_avx512", Isa::avx512, supports_int4_dynamic_mm_decode, int4_dynamic_mm_decode_avx512},
    {"int4_dynamic_mm_prefill_avx512", Isa::avx512, nullptr, int4_dynamic_mm_prefill_avx512},
};

const Int4QuantizeKernel all_int4_quantize[] = {
    {"int4_quantize", std::nullopt, nullptr, int4_quantize},
    {"int4_quantize_scalar", Isa::scalar, nullptr, int4_quantize_scalar},
    {"int4_quantize_avx2", Isa::avx2, nullptr, int4_quantize_avx2},
};

const Int4DequantizeKernel all_int4_dequantize[] = {
    {"int4_dequantize", std::nullopt, nullptr, int4_dequantize},
    {"int4_dequantize_scalar", Isa::scalar, nullptr, int4_dequantize_scalar},
    {"int4_dequantize_avx2", Isa::avx2, nullptr, int4_dequantize_avx2},
    {"int4_dequantize_avx512", Isa::avx512, nullptr, int4_dequantize_avx512},
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

const char* skip_reason(std::optional<Isa> isa, bool (*cpu_has_extension)()) {
  if (emulated) return isa == Isa::avx512 ? nullptr : "not emulated: another program tests it";
  if (isa && !cpu_has(*isa)) return "this CPU lacks the instruction set";
  if (cpu_has_extension != nullptr && !cpu_has_extension()) return "this CPU lacks an extension of the instruction set";
  return nullptr;
}

template <class Table>
auto runnable(const Table& table) {
  std::vector<std::decay_t<decltype(table[0])>> kernels;
  for (const auto& kernel : table) {
    const char* reason = skip_reason(kernel.isa, kernel.cpu_has_extension);
    const std::string isa = kernel.isa ? isa_name(*kernel.isa) : "dispatch";
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
    avx512_ran = avx512_ran || (row.isa == isa_name(Isa::avx512) && row.cases > 0);
  }
  if (!emulated && !rows().empty() && cpu_has(Isa::avx512) && !avx512_ran) {
    result.text += "  no avx512 kernel ran, though this CPU has AVX-512\n";
    result.complete = false;
  }
  return result;
}

}  // namespace torchao_ops::test
