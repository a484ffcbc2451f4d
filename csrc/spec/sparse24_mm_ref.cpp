#include "csrc/spec/mm_ref.h"
#include "csrc/spec/sparse24_mm.h"

namespace torchao_ops {
namespace {

void find_violation(const Sparse24MmArgs& args) {
  if (args.violation == nullptr) return;
  const sparse24::Weight& w = args.weight;
  const int64_t quads = sparse24::quads(w.K);
  *args.violation = -1;
  for (int64_t i = w.N * quads - 1; i >= 0; --i) {
    if (sparse24::keeps_too_many(w.bits(i / quads, i % quads))) *args.violation = i;
  }
}

// x rounded per row to e4m3fn: q * scale.
std::vector<double> e4m3fn_activations(const MmArgs& mm, int64_t K) {
  return quantized_activations(mm, K, Float8E4m3fn::largest, [](float value) {
    Float8E4m3fn q;
    from_float(value, &q);
    return to_float(q);
  });
}

}  // namespace

void sparse24_mm_ref(const Sparse24MmArgs& args, double* y) {
  find_violation(args);
  multiply(args.mm, args.weight, activations(args.mm, args.weight.K), y);
}

void sparse24_dynamic_mm_ref(const Sparse24MmArgs& args, double* y) {
  find_violation(args);
  const sparse24::Weight& w = args.weight;
  const bool integers = w.value_type == sparse24::ValueType::int8;
  multiply(args.mm, w, integers ? quantized_activations(args.mm, w.K) : e4m3fn_activations(args.mm, w.K), y);
}

}  // namespace torchao_ops
