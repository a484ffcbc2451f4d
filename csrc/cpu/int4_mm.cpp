#include "csrc/cpu/int4_mm.h"

#include "csrc/cpu/isa.h"

namespace torchao_ops {
namespace {

// The largest M for decode, by kernel. Above it prefill is faster.
constexpr int64_t decode_max_M_avx2 = 4;
constexpr int64_t decode_max_M_avx512 = 4;
constexpr int64_t decode_max_M_avx512_bf16 = 16;

}  // namespace

bool supports_int4_mm_decode(const Int4MmArgs& args) {
  return args.weight.group_size % 32 == 0 || args.weight.group_size >= args.weight.K;
}

bool supports_int4_mm_decode_bf16(const Int4MmArgs& args) {
  return args.mm.x_type == FloatType::bf16 && supports_int4_mm_decode(args);
}

bool supports_int4_mm_prefill_bf16(const Int4MmArgs& args) { return args.mm.x_type == FloatType::bf16; }

Status int4_mm(const Int4MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  const int64_t M = args.mm.M;
  if (isa == Isa::avx512 && cpu_has_avx512_bf16() && supports_int4_mm_prefill_bf16(args)) {
    if (M <= decode_max_M_avx512_bf16 && supports_int4_mm_decode_bf16(args)) return int4_mm_decode_avx512_bf16(args, parallel);
    return int4_mm_prefill_avx512_bf16(args, parallel);
  }
  if (isa == Isa::avx512) {
    if (M <= decode_max_M_avx512 && supports_int4_mm_decode(args)) return int4_mm_decode_avx512(args, parallel);
    return int4_mm_prefill_avx512(args, parallel);
  }
  if (isa == Isa::avx2) {
    if (M <= decode_max_M_avx2 && supports_int4_mm_decode(args)) return int4_mm_decode_avx2(args, parallel);
    return int4_mm_prefill_avx2(args, parallel);
  }
  return int4_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
