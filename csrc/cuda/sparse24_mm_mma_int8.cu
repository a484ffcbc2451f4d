// The kernels of sparse24_mm_mma for x quantized to int8: a file for each type, as they take long to compile.
#include "csrc/cuda/mm_mma.cuh"
#include "csrc/cuda/sparse24_codes.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Sparse24Of<int8_t>, Int8Dot>(const Product<Sparse24Of<int8_t>>&, const uint8_t*, int64_t, void*,
                                                        const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
