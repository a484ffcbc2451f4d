// int8_dynamic_mm on the CPU: dispatch, and the kernels it chooses from. The integer part is exact on every ISA; scales act on it in fp32. Where a
// row is one group, all kernels give the same bits (spec/int8_mm.h).
#pragma once

#include "csrc/spec/int8_mm.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/status.h"

namespace torchao_ops {

Status int8_dynamic_mm(const Int8MmArgs& args, const Parallel& parallel);

Status int8_dynamic_mm_scalar(const Int8MmArgs& args, const Parallel& parallel);

// As for int8_mm: decode streams the weight, for one group a row or group sizes that are multiples of 32, up to the K at which a sum may
// outgrow int32; prefill multiplies tiles, any K and group size.
bool supports_int8_dynamic_mm_decode(const Int8MmArgs& args);
Status int8_dynamic_mm_decode_avx2(const Int8MmArgs& args, const Parallel& parallel);
Status int8_dynamic_mm_prefill_avx2(const Int8MmArgs& args, const Parallel& parallel);
Status int8_dynamic_mm_decode_avx512(const Int8MmArgs& args, const Parallel& parallel);
Status int8_dynamic_mm_prefill_avx512(const Int8MmArgs& args, const Parallel& parallel);

}  // namespace torchao_ops
