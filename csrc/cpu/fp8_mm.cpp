#include "csrc/cpu/fp8_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {

bool supports_fp8_mm_decode(const Fp8MmArgs& args) {
  return args.weight.group_size % 32 == 0 || args.weight.group_size >= args.weight.K;
}

// Unlike int8's, codes take about as long as their products, and decode unpacks them anew for each four rows of x. Measured on Zen 3 with AVX2, one
// thread, N = 256 to 512, e4m3fn: decode wins at K = 384 up to M = 6 (79 against 84 us; at 8 they are equal), at K = 1024 up to M = 12 (293 against 302;
// at 16, 383 against 315), at K = 4096 and 11008 up to M = 12 as well (1.44 against 1.54 ms, 1.9 against 2.2).
bool prefers_fp8_mm_decode(const Fp8MmArgs& args) {
  const int64_t M = args.mm.M, K = args.weight.K;
  const bool is_faster = M <= 6 || (K >= 1024 && M <= 12);
  return is_faster && supports_fp8_mm_decode(args) && !batch_invariant();
}

bool supports_fp8_mm_decode_bf16(const Fp8MmArgs& args) {
  return args.mm.x_type == FloatType::bf16 && supports_fp8_mm_decode(args);
}

bool supports_fp8_mm_prefill_bf16(const Fp8MmArgs& args) { return args.mm.x_type == FloatType::bf16; }

Status fp8_mm(const Fp8MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  if (isa == Isa::avx512 && cpu_has_avx512_bf16() && supports_fp8_mm_prefill_bf16(args)) {
    return prefers_fp8_mm_decode(args) ? fp8_mm_decode_avx512_bf16(args, parallel) : fp8_mm_prefill_avx512_bf16(args, parallel);
  }
  if (isa == Isa::avx512) return fp8_mm_avx512(args, parallel);
  if (isa == Isa::avx2) return fp8_mm_avx2(args, parallel);
  return fp8_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
