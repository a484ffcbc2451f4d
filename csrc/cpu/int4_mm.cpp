#include "csrc/cpu/int4_mm.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {

// A group is a whole number of 32-element units, or there is only one.
bool supports_int4_mm_decode(const Int4MmArgs& args) {
  return args.weight.group_size % 32 == 0 || args.weight.group_size >= args.weight.K;
}

Status int4_mm(const Int4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa >= Isa::avx2) {
    if (args.mm.M <= decode_max_M && supports_int4_mm_decode(args)) return int4_mm_decode_avx2(args, parallel);
    return int4_mm_prefill_avx2(args, parallel);
  }
  return int4_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
