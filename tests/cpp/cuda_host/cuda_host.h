// Runs CUDA kernels on the host: what a test needs beyond the CUDA runtime's own functions.
//
// A program includes the toolkit's headers as always, and tests/cpp/cuda_host comes first on the include path: cuda_runtime.h there gives
// kernels their qualifiers, variables and functions. torchao_ops::cuda::enqueue() runs a kernel to its end before it returns, its blocks one
// after another in a random order. Launches come from one host thread at a time.
#pragma once

#include <cstdint>

#include "tests/cpp/cuda_host/async_copy.h"
#include "tests/cpp/cuda_host/error.h"

namespace cuda_host {

// Begins a new sequence of random decisions; the same number gives the same one (for a TORCHAO_OPS_TEST_SEED).
void reseed(uint64_t number);

// What cudaDeviceGetAttribute says, 132 at the beginning (an H100's and H200's).
void set_multiprocessors(int count);

// The builds see different faults: a test of a detector asks which one it is in.
bool is_asan_build();
bool is_race_build();

}  // namespace cuda_host
