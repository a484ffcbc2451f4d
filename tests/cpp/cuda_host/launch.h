#pragma once

#include <driver_types.h>
#include <vector_types.h>

#include <cstdint>

namespace cuda_host {

// Runs body(argument) in every thread of every block. What a device refuses to launch gives its error; what it would do wrong throws an Error.
cudaError_t launch(dim3 grid, dim3 block, int64_t dynamic_shared_bytes, void (*body)(const void* argument), const void* argument);

}  // namespace cuda_host
