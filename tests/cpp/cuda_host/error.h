// How the harness says that a kernel did something that a device does not define.
#pragma once

#include <stdexcept>

namespace cuda_host {

// Thrown by torchao_ops::cuda::enqueue: the launch was abandoned. what() names the place in the kernel, the thread and the seed.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A place in a kernel's source. As the default of a function's last parameter, Site::here() is where that function was called.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};
// Of two literals, which are most often one in memory.
inline bool is_same(const char* a, const char* b) { return a == b || __builtin_strcmp(a, b) == 0; }
inline bool operator==(const Site& a, const Site& b) { return a.line == b.line && is_same(a.file, b.file); }

// Ends the launch with an Error. Called on behalf of the current thread; does not return to it.
[[noreturn, gnu::format(printf, 2, 3)]] void fail(Site site, const char* format, ...);

}  // namespace cuda_host
