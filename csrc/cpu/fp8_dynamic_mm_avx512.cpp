#include "csrc/cpu/fp8_activations.h"
#include "csrc/cpu/fp8_dynamic_mm.h"
#include "csrc/cpu/fp8_numbers.h"
#include "csrc/cpu/fp8_round_row.h"
#include "csrc/cpu/simd_avx512.h"

namespace torchao_ops {

Status fp8_dynamic_mm_avx512(const Fp8MmArgs& args, const Parallel& parallel) {
  return with_float8(args.weight.type, [&](auto type) {
    return dynamic_product(args, round_row<Avx512, decltype(type)>, fp8_mm_avx512, store_numbers<Avx512>, parallel);
  });
}

}  // namespace torchao_ops
