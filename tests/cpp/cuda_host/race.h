// Unordered accesses, found whatever order the threads happened to run in.
//
// Kernels of the race build are compiled with -fsanitize=thread, for its calls before every access only: the functions that are called are in
// race.cpp, not ThreadSanitizer's. Other builds make no such calls, and everything here returns at once.
//
// Two accesses to a byte, at least one of them a write, must be ordered: by program order, by __syncthreads, by __syncwarp with both lanes in
// its mask (or by a chain of these). Blocks of one launch are not ordered at all; two atomic operations need no order.
//
// What it cannot see: memory that cudaMalloc did not give; a store of a structure that a function returns, unless that function is inlined
// (GCC does not announce it); data that is handed over by atomic operations and fences, which looks like a race.
#pragma once

#include <cstddef>

#include "tests/cpp/cuda_host/block.h"

namespace cuda_host::race {

enum class Access { read, write, atomic };

// Whether this is the race build.
bool enabled();

// An access that a function of the harness does on behalf of a thread.
void access(const Thread& thread, const void* p, size_t bytes, Access kind, Site site);
// From begin on, only the end may touch the bytes.
void async_write_begins(const Thread& thread, const void* p, size_t bytes, Site site);
void async_write_ends(const Thread& thread, const void* p, size_t bytes);

void launch_begins();
void block_begins(unsigned threads);
void block_barrier();
void sync_warp(const Warp& warp, unsigned mask);

}  // namespace cuda_host::race
