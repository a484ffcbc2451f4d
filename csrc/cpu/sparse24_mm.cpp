#include "csrc/cpu/sparse24_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one.
bool prefers_decode(int64_t M) { return M <= 8; }

}  // namespace

bool supports_sparse24_mm_vbmi2(const Sparse24MmArgs& args) {
  const sparse24::ValueType type = args.weight.value_type;
  return args.mm.x_type == FloatType::bf16 && type != sparse24::ValueType::f32 && type != sparse24::ValueType::f16;
}

Status sparse24_mm(const Sparse24MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  const bool decode = prefers_decode(args.mm.M) && !batch_invariant();
  if (decode && isa == Isa::avx512 && cpu_has_avx512_vbmi2() && supports_sparse24_mm_vbmi2(args)) {
    return sparse24_mm_decode_avx512_vbmi2(args, parallel);
  }
  if (isa == Isa::avx512) return decode ? sparse24_mm_decode_avx512(args, parallel) : sparse24_mm_prefill_avx512(args, parallel);
  if (isa == Isa::avx2) return decode ? sparse24_mm_decode_avx2(args, parallel) : sparse24_mm_prefill_avx2(args, parallel);
  return sparse24_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
