// Memory of the device: what cudaMalloc gives, and shared memory. All of it ends at pages that cannot be touched.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/cpp/cuda_host/error.h"

namespace cuda_host {

// What global memory holds before something is written to it: a NaN in every float type, -1 as an integer.
constexpr int unset_byte = 0xff;

struct Region {
  char* begin;
  size_t bytes;
  const char* name;
  char* pages;  // with the slack before and after the region, and the unmapped pages around
  size_t pages_bytes;

  bool has(const void* p) const { return p >= begin && p < begin + bytes; }
  bool has(const void* p, size_t count) const { return has(p) && static_cast<const char*>(p) + count <= begin + bytes; }
  bool is_near(const void* p) const { return p >= pages && p < pages + pages_bytes; }
};

// ---- global memory ----

// As cudaMalloc: aligned to 256 bytes. The end is the end of a page if the size is a multiple of 256; otherwise up to 255 bytes follow that ASAN
// and the race build forbid and that check_slack() looks at.
void* allocate_global(size_t bytes);  // null if there is no memory
bool free_global(void* begin);        // false if it is not the beginning of an allocation
// The allocation whose pages hold the address, null if none.
const Region* find_global(const void* p);
// Fails if a kernel wrote around an allocation.
void check_slack(const char* what);

// ---- shared memory, of the block that runs ----

constexpr int64_t shared_bytes_per_block = 227 << 10, shared_bytes_per_multiprocessor = 228 << 10;  // of compute capability 9.0
constexpr int64_t static_shared_bytes_per_block = 48 << 10;

// An array in shared memory, where the source declares it.
struct SharedArray {
  const char* name;
};

void begin_launch_of_shared(int64_t dynamic_bytes);
void begin_block_of_shared();  // forgets what the last block wrote
void* dynamic_shared();
void* static_shared(const SharedArray& array, size_t bytes, size_t alignment, Site site);
const Region* find_shared(const void* p);
// Fails unless the bytes lie within one array.
void require_shared(const char* what, const void* p, size_t bytes, Site site);
// Fails if the bytes lie in an allocation of global memory and beyond its end, or in shared memory.
void require_global(const char* what, const void* p, size_t bytes, Site site);

// Gives shared memory what it holds before something is written to it: in some launches a NaN in every float type, in others an ordinary number, because
// a kernel may notice a NaN and mend the result.
void unset_shared(void* begin, size_t bytes);

}  // namespace cuda_host
