// The kernels of nf4_mm_mma for x in bf16: a file for each type, as they take long to compile.
#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/nf4_codes.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Nf4, Bf16Dot>(const Product<Nf4>&, const uint8_t*, int64_t, void*, const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
