#include "csrc/cpu/int8_mm.h"

#include "csrc/cpu/isa.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops {
namespace {

// Whether decode is the faster one. Up to 4 rows of x always (each code is unpacked once for all of them); then as long as a weight row is long
// enough to hide what decode does once a row, and the permuted activations, 4 bytes each, fill no more than a 512 KiB second-level cache,
// from which each pair of weight rows reads them anew. Measured on Zen 3 with AVX2, one thread, N = 256 to 1536: prefill wins at K = 384 from
// M = 8 on, decode at K = 1024 and 4096 up to the 24 that were tried, at K = 11008 up to M = 12.
bool prefers_decode(int64_t M, int64_t K) { return M <= 4 || (K >= 1024 && M <= 24 && M * K <= 131072); }

}  // namespace

bool supports_int8_mm_decode(const Int8MmArgs& args) {
  return args.weight.group_size % 32 == 0 || args.weight.group_size >= args.weight.K;
}

bool supports_int8_mm_decode_bf16(const Int8MmArgs& args) {
  return args.mm.x_type == FloatType::bf16 && supports_int8_mm_decode(args);
}

bool supports_int8_mm_prefill_bf16(const Int8MmArgs& args) { return args.mm.x_type == FloatType::bf16; }

Status int8_mm(const Int8MmArgs& args, const Parallel& parallel) {
  Isa isa;
  const Status status = isa_in_use(&isa);
  if (status != Status::ok) return status;
  const bool decode = prefers_decode(args.mm.M, args.weight.K) && supports_int8_mm_decode(args) && !batch_invariant();
  if (isa == Isa::avx512 && cpu_has_avx512_bf16() && supports_int8_mm_prefill_bf16(args)) {
    return decode ? int8_mm_decode_avx512_bf16(args, parallel) : int8_mm_prefill_avx512_bf16(args, parallel);
  }
  if (isa == Isa::avx512) return decode ? int8_mm_decode_avx512(args, parallel) : int8_mm_prefill_avx512(args, parallel);
  if (isa == Isa::avx2) return decode ? int8_mm_decode_avx2(args, parallel) : int8_mm_prefill_avx2(args, parallel);
  return int8_mm_scalar(args, parallel);
}

}  // namespace torchao_ops
