#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/fp8_dynamic_mm.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/fp8_round_row.h"
#include "csrc/cpu/simd_avx2.h"

namespace torchao_ops {

Status fp8_dynamic_mm_avx2(const Fp8MmArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    return dynamic_product(args, round_row<Avx2, decltype(type)>, fp8_mm_avx2, store_numbers<Avx2>, parallel);
  });
}

}  // namespace torchao_ops
