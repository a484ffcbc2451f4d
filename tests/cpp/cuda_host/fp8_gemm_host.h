// What tests may ask of the stand-in for fp8_gemm.
#pragma once

namespace cuda_host {

// Whether it refuses everything, as a libcublasLt may.
void refuse_fp8_gemm(bool refuses);

}  // namespace cuda_host
