// A libcublasLt.so.13 for tests: multiplies matrices in host memory, in loops, as cuBLAS documents the product, and complains about what the
// real library would reject or what it could not notice. It has the functions that csrc/cuda/gemm.cpp uses and no others.
#pragma once

#include <cublasLt.h>

#include <map>
#include <string>
#include <vector>

namespace torchao_ops::test {

struct FakeCublasLt {
  // What happened.
  std::vector<std::string> complaints;
  std::vector<cublasLtHandle_t> contexts;
  int live_descriptors = 0;  // created and not destroyed
  struct Product {
    cublasLtHandle_t context;
    cublasComputeType_t compute_type;
    cudaDataType_t scale_type;
    std::map<int, uint64_t> attributes;   // of the operation, by cublasLtMatmulDescAttributes_t
    std::map<int, uint64_t> preferences;  // by cublasLtMatmulPreferenceAttributes_t
    void* workspace;
    size_t workspace_bytes;
    cudaStream_t stream;
  };
  std::vector<Product> products;
  int questions = 0;  // to the heuristic

  // What is to happen.
  std::string failing_call;  // returns CUBLAS_STATUS_NOT_SUPPORTED
  int algorithms = 1;        // that the heuristic finds
  bool is_older = false;     // than 12.9: there are no scale modes but that of scalars
  cublasStatus_t algorithm_state = CUBLAS_STATUS_SUCCESS;
};

}  // namespace torchao_ops::test

extern "C" {
// The library's state; tests may reset all but the contexts.
torchao_ops::test::FakeCublasLt* fake_cublaslt();
}
