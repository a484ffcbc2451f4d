// int4_dynamic_mm on the CPU: dispatch, and the kernels it chooses from. The integer part is exact on every ISA; scales and zero points
// act on it in fp32.
#pragma once

#include "csrc/spec/int4_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int4_dynamic_mm(const Int4MmArgs& args, const Parallel& parallel);

Status int4_dynamic_mm_scalar(const Int4MmArgs& args, const Parallel& parallel);

// As for int4_mm: decode streams the weight, for group sizes that are multiples of 32; prefill multiplies tiles, any group size.
bool supports_int4_dynamic_mm_decode(const Int4MmArgs& args);
Status int4_dynamic_mm_decode_avx2(const Int4MmArgs& args, const Parallel& parallel);
Status int4_dynamic_mm_prefill_avx2(const Int4MmArgs& args, const Parallel& parallel);
Status int4_dynamic_mm_decode_avx512(const Int4MmArgs& args, const Parallel& parallel);
Status int4_dynamic_mm_prefill_avx512(const Int4MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
