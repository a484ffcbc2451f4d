#include "csrc/cpu/nf4_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one. Measured on Zen 3 with AVX2, N = 4096 and 2048: at K = 384 and 1024 decode wins up to M = 12, at K = 4096 the two
// are equal at M = 7 (7.8 against 7.7 ms), at K = 11008 at M = 6.
bool prefers_decode(int64_t M, int64_t K) { return M <= 4 || (M <= 12 && M * K <= 28672); }

}  // namespace

bool supports_nf4_mm_decode(const Nf4MmArgs& args) {
  const nf4::Weight& w = args.weight;
  return w.K == 0 || w.K % w.group_size == 0 || (w.K % 2 == 0 && w.group_size % w.K == 0);
}

bool supports_nf4_mm_prefill_bf16(const Nf4MmArgs& args) { return args.mm.x_type == FloatType::bf16; }

Status nf4_mm(const Nf4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::scalar) return nf4_mm_scalar(args, parallel);
  if (prefers_decode(args.mm.M, args.weight.K) && supports_nf4_mm_decode(args) && !batch_invariant()) {
    return isa == Isa::avx512 ? nf4_mm_decode_avx512(args, parallel) : nf4_mm_decode_avx2(args, parallel);
  }
  if (isa == Isa::avx2) return nf4_mm_prefill_avx2(args, parallel);
  if (cpu_has_avx512_bf16() && supports_nf4_mm_prefill_bf16(args)) return nf4_mm_prefill_avx512_bf16(args, parallel);
  return nf4_mm_prefill_avx512(args, parallel);
}

Status nf4_mm_transposed(const Nf4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512) return nf4_mm_transposed_avx512(args, parallel);
  if (isa == Isa::avx2) return nf4_mm_transposed_avx2(args, parallel);
  return nf4_mm_transposed_scalar(args, parallel);
}

}  // namespace torchao_ops
