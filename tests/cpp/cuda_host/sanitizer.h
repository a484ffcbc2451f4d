// AddressSanitizer's functions, which are there only in programs that are linked with it: the harness itself is compiled once for all builds.
#pragma once

#include <cstddef>

extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* begin, size_t bytes);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* begin, size_t bytes);
[[gnu::weak]] void* __asan_region_is_poisoned(void* begin, size_t bytes);
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** save_fake_stack, const void* bottom, size_t bytes);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_bottom, size_t* old_bytes);
}

namespace cuda_host {

// Instrumented code that touches a forbidden byte ends the program with ASAN's report. ASAN sees granules of 8 bytes: what is forbidden may begin
// anywhere, but what is allowed must begin at a multiple of 8.
inline void forbid(const void* begin, size_t bytes) {
  if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(begin, bytes);
}
inline void allow(const void* begin, size_t bytes) {
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(begin, bytes);
}
inline bool is_forbidden(const void* begin, size_t bytes) {
  return __asan_region_is_poisoned != nullptr && __asan_region_is_poisoned(const_cast<void*>(begin), bytes) != nullptr;
}

}  // namespace cuda_host
