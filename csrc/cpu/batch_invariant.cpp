#include "csrc/cpu/batch_invariant.h"

#include <cstdlib>
#include <cstring>

namespace torchao_ops {

bool batch_invariant() {
  static const bool value = [] {
    const char* name = std::getenv("TORCHAO_OPS_BATCH_INVARIANT");
    return name != nullptr && std::strcmp(name, "1") == 0;
  }();
  return value;
}

}  // namespace torchao_ops
