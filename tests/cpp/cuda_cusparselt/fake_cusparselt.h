// A libcusparseLt.so.0 for tests: multiplies matrices in host memory, in loops, as cuSPARSELt documents the product, and complains about what the real
// library would reject or what it could not notice. It has the functions that csrc/cuda/cusparselt.cpp uses and no others.
#pragma once

#include <cusparseLt.h>

#include <string>
#include <vector>

namespace torchao_ops::test {

struct FakeCusparseLt {
  // What happened.
  std::vector<std::string> complaints;
  int handles = 0, plans = 0, searches = 0, products = 0;  // that were made
  int live_objects = 0;                                    // initialized and not destroyed, plans included
  cudaStream_t stream = nullptr;                           // of the last call that has one
  void* workspace = nullptr;

  // What is to happen.
  std::string failing_call;  // returns CUSPARSE_STATUS_NOT_SUPPORTED
  int minor_version = 8;
  size_t workspace_bytes = 1 << 20, workspace_bytes_after_search = 1 << 20;
};

// How much a packed weight [N, K] has, and its scratch.
constexpr size_t fake_packed_bytes(int64_t N, int64_t K, int64_t element_bytes) {
  return static_cast<size_t>(N * K * element_bytes + 128);
}
constexpr size_t fake_scratch_bytes = 256;

}  // namespace torchao_ops::test

extern "C" {
torchao_ops::test::FakeCusparseLt* fake_cusparselt();
}
