#include "csrc/loaded_copy.h"

#include <dlfcn.h>
#include <link.h>

// Marks a loaded copy: other copies look for this symbol by name. 1 once its operators are being registered. Protected: a copy's own
// references must not be bound to the marker of one that was loaded earlier, with the program.
extern "C" {
__attribute__((visibility("protected"))) int torchao_ops_registered = 0;
}

namespace torchao_ops {
namespace {

int visit(dl_phdr_info* info, size_t, void* found) {
  if (info->dlpi_name == nullptr || *info->dlpi_name == '\0') return 0;
  void* library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return 0;
  // dlsym also searches what `library` depends on; that can only find the same marker twice.
  const int* marker = static_cast<const int*>(dlsym(library, "torchao_ops_registered"));
  if (marker != nullptr && marker != &torchao_ops_registered && *marker == 1) *static_cast<bool*>(found) = true;
  dlclose(library);
  return 0;
}

}  // namespace

bool another_copy_is_registered() {
  static const bool found = [] {
    bool other = false;
    dl_iterate_phdr(visit, &other);
    if (!other) torchao_ops_registered = 1;
    return other;
  }();
  return found;
}

}  // namespace torchao_ops
