#include "csrc/cpu/int8_dynamic_mm.h"

#include "csrc/cpu/int8_mm.h"
#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one: see int8_mm.cpp. Measured likewise: prefill wins at K = 384 from M = 8 on, decode at K = 1024 up to M = 16 (94
// against 127 us; at 24, 132 against 124), at K = 4096 and 11008 up to the 24 that were tried.
bool prefers_decode(int64_t M, int64_t K) { return M <= 4 || (K >= 1024 && M <= 16); }

}  // namespace

bool supports_int8_dynamic_mm_decode(const Int8MmArgs& args) {
  return supports_int8_mm_decode(args) && args.weight.K <= int8_exact_k;
}

Status int8_dynamic_mm(const Int8MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  // Where a row is one group both give the same bits.
  const bool may_decode =
      supports_int8_dynamic_mm_decode(args) && (!batch_invariant() || args.weight.group_size >= args.weight.K);
  const bool decode = may_decode && prefers_decode(args.mm.M, args.weight.K);
  if (isa == Isa::avx512)
    return decode ? int8_dynamic_mm_decode_avx512(args, parallel) : int8_dynamic_mm_prefill_avx512(args, parallel);
  if (isa == Isa::avx2)
    return decode ? int8_dynamic_mm_decode_avx2(args, parallel) : int8_dynamic_mm_prefill_avx2(args, parallel);
  return int8_dynamic_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
