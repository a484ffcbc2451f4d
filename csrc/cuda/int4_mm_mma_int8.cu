// The kernels of int4_dynamic_mm_mma.
#include "csrc/cuda/int4_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Int4, Int8Dot>(const Product<Int4>&, const uint8_t*, int64_t, void*, const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
