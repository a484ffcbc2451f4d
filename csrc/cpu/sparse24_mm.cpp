#include "csrc/cpu/sparse24_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one. Measured on Zen 3 with AVX2, one thread, of bf16 values: at K = 384 (N = 384, 1536) the two are equal at M = 7, at
// K = 4096 (N = 4096) and 11008 (N = 1024) at M = 11 to 13.
bool prefers_decode(int64_t M, int64_t K) { return M <= 6 || (K >= 1024 && M <= 11); }

}  // namespace

bool supports_sparse24_mm_decode_vbmi2(const Sparse24MmArgs& args) {
  const sparse24::ValueType type = args.weight.value_type;
  return args.mm.x_type == FloatType::bf16 && type != sparse24::ValueType::f32 && type != sparse24::ValueType::f16;
}

bool supports_sparse24_mm_prefill_bf16(const Sparse24MmArgs& args) { return args.mm.x_type == FloatType::bf16; }

Status sparse24_mm(const Sparse24MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  const bool decode = prefers_decode(args.mm.M, args.weight.K) && !batch_invariant();
  if (isa == Isa::avx512 && decode && cpu_has_avx512_vbmi2() && supports_sparse24_mm_decode_vbmi2(args)) {
    return sparse24_mm_decode_avx512_vbmi2(args, parallel);
  }
  if (isa == Isa::avx512 && !decode && cpu_has_avx512_bf16() && supports_sparse24_mm_prefill_bf16(args)) {
    return sparse24_mm_prefill_avx512_bf16(args, parallel);
  }
  if (isa == Isa::avx512) return decode ? sparse24_mm_decode_avx512(args, parallel) : sparse24_mm_prefill_avx512(args, parallel);
  if (isa == Isa::avx2) return decode ? sparse24_mm_decode_avx2(args, parallel) : sparse24_mm_prefill_avx2(args, parallel);
  return sparse24_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
