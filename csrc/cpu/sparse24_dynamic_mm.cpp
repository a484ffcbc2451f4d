#include "csrc/cpu/sparse24_dynamic_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one. Measured as for sparse24_mm. Of int8, prefill forms two products at a time: the two are equal at M = 4 for K = 384, at
// M = 6 for K = 4096. Of e4m3fn, at M = 6 and 9.
bool prefers_decode(const Sparse24MmArgs& args) {
  if (args.weight.value_type == sparse24::ValueType::int8) return args.mm.M <= 4;
  return args.mm.M <= 4 || (args.weight.K >= 1024 && args.mm.M <= 8);
}

}  // namespace

bool supports_sparse24_dynamic_mm(const Sparse24MmArgs& args) {
  return args.weight.value_type != sparse24::ValueType::int8 || args.weight.K <= sparse24_exact_k;
}

Status sparse24_dynamic_mm(const Sparse24MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  // Of int8 both give the same bits.
  const bool may_decode = !batch_invariant() || args.weight.value_type == sparse24::ValueType::int8;
  const bool decode = prefers_decode(args) && may_decode;
  if (isa == Isa::scalar || !supports_sparse24_dynamic_mm(args)) return sparse24_dynamic_mm_scalar(args, parallel);
  if (isa == Isa::avx512)
    return decode ? sparse24_dynamic_mm_decode_avx512(args, parallel) : sparse24_dynamic_mm_prefill_avx512(args, parallel);
  return decode ? sparse24_dynamic_mm_decode_avx2(args, parallel) : sparse24_dynamic_mm_prefill_avx2(args, parallel);
}

}  // namespace torchao_ops
