// Which instruction set the kernels use: the best that was built in and that this CPU has, or the one that TORCHAO_OPS_ISA names.
#pragma once

#include "csrc/spec/status.h"

namespace torchao_ops {

enum class Isa {
  scalar,  // what every x86-64 has
  avx2,    // AVX2, FMA, F16C: Haswell (2013), Zen and newer
  avx512,  // AVX-512 F, BW, DQ, VL, VBMI, VNNI: Ice Lake (2019), Zen 4 and newer
};

const char* isa_name(Isa isa);

// What the CPU and the operating system offer, whatever the environment says.
bool cpu_has(Isa isa);
// AVX512_BF16 (Cooper Lake, Sapphire Rapids, Zen 4): a bf16 dot product, used within Isa::avx512 where present.
bool cpu_has_avx512_bf16();
// AVX512_VBMI2 as well: expanding of 16-bit numbers.
bool cpu_has_avx512_vbmi2();

// The ISA to use. The environment variable TORCHAO_OPS_ISA (scalar, avx2, avx512) is read at the first call; a name
// that is not known, or that this CPU lacks, is an error at every call rather than a silent fallback.
Status isa_in_use(Isa* isa);

// The value of TORCHAO_OPS_ISA as isa_in_use read it, for messages; "" if unset.
const char* isa_override();

}  // namespace torchao_ops
