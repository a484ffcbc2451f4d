// Comes before everything else in kernels of the race build: the compiler announces accesses, but not those that memcpy and the like make.
// Needs -fno-builtin-memcpy, -memmove and -memset.
#pragma once

#include <stddef.h>

extern "C" {
void* memcpy(void* to, const void* from, size_t bytes) noexcept(true) __asm__("cuda_host_memcpy");
void* memmove(void* to, const void* from, size_t bytes) noexcept(true) __asm__("cuda_host_memmove");
void* memset(void* p, int value, size_t bytes) noexcept(true) __asm__("cuda_host_memset");
}
