// The kernels of sparse24_mm_mma for x in fp16, and for x rounded to e4m3fn: a file for each type, as they take long to compile.
#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/sparse24_codes.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Sparse24Of<uint16_t>, F16Dot>(const Product<Sparse24Of<uint16_t>>&, const uint8_t*, int64_t, void*,
                                                         const MmaPlan&, const Context&);
template Status run_mm_mma<Sparse24Of<int8_t>, F16Dot>(const Product<Sparse24Of<int8_t>>&, const uint8_t*, int64_t, void*,
                                                       const MmaPlan&, const Context&);
template Status run_mm_mma<Sparse24Of<Float8E4m3fn>, F16Dot>(const Product<Sparse24Of<Float8E4m3fn>>&, const uint8_t*, int64_t,
                                                             void*, const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
