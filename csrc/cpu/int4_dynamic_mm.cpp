#include "csrc/cpu/int4_dynamic_mm.h"

#include "csrc/cpu/int4_mm.h"
#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one: see int4_mm.cpp. Measured on Zen 3 with AVX2, N = 4096: at K = 4096 and 11008 decode wins up to M = 12, at
// K = 384 prefill wins from M = 8 on.
bool prefers_decode(int64_t M, int64_t K) { return M <= 4 || (K >= 1024 && M <= 12); }

}  // namespace

bool supports_int4_dynamic_mm_decode(const Int4MmArgs& args) { return supports_int4_mm_decode(args); }

Status int4_dynamic_mm(const Int4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  const bool decode = prefers_decode(args.mm.M, args.weight.K) && supports_int4_dynamic_mm_decode(args) && !batch_invariant();
  if (isa == Isa::avx512)
    return decode ? int4_dynamic_mm_decode_avx512(args, parallel) : int4_dynamic_mm_prefill_avx512(args, parallel);
  if (isa == Isa::avx2)
    return decode ? int4_dynamic_mm_decode_avx2(args, parallel) : int4_dynamic_mm_prefill_avx2(args, parallel);
  return int4_dynamic_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
