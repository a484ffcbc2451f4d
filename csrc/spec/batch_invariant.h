#pragma once

#include <cstdlib>
#include <cstring>

namespace torchao_ops {

// Whether the environment variable TORCHAO_OPS_BATCH_INVARIANT is 1 (read at the first call): dispatchers then use one algorithm for every number
// of rows, so that a row's result is bitwise the same in every batch. Small batches are slower for it.
inline bool batch_invariant() {
  static const bool value = [] {
    const char* setting = std::getenv("TORCHAO_OPS_BATCH_INVARIANT");
    return setting != nullptr && std::strcmp(setting, "1") == 0;
  }();
  return value;
}

}  // namespace torchao_ops
