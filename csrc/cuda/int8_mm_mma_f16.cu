// The kernels of int8_mm_mma for x in fp16: a file for each type, as they take long to compile.
#include "csrc/cuda/int8_codes.cuh"
#include "csrc/cuda/mm_mma.cuh"

namespace torchao_ops::cuda {

template Status run_mm_mma<Int8, F16Dot>(const Product<Int8>&, const uint8_t*, int64_t, void*, const MmaPlan&, const Context&);

}  // namespace torchao_ops::cuda
