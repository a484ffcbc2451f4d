// What kernels that find a violation do.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace torchao_ops::cuda {

// Keeps the first quad. -1 is, unsigned, larger than each.
__device__ __forceinline__ void note_violation(int64_t* violation, int64_t quad) {
  atomicMin(reinterpret_cast<unsigned long long*>(violation), static_cast<unsigned long long>(quad));
}

}  // namespace torchao_ops::cuda
