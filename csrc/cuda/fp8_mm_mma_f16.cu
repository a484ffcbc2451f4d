// The kernels of fp8_mm_mma for x in fp16, and for x rounded to fp8: a file for each type, as they take long to compile.
#include "csrc/cuda/fp8_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Fp8<Float8E4m3fn>, F16Dot>(const Product<Fp8<Float8E4m3fn>>&, const uint8_t*, int64_t, void*,
                                                      const MmaPlan&, const Context&);
template Status run_mm_mma<Fp8<Float8E5m2>, F16Dot>(const Product<Fp8<Float8E5m2>>&, const uint8_t*, int64_t, void*,
                                                    const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
