#include "tests/cpp/cuda_host/self_test.h"

namespace cuda_host::self_test {

void expect_in_every_order(const char* file, int line, const std::string& text, bool whole,
                           const std::function<std::string()>& run) {
  for (int order = 0; order < orders; ++order) {
    const std::string error = run();
    if (whole ? error == text : error.find(text) != std::string::npos) continue;
    ADD_FAILURE_AT(file, line) << "says: " << error << "\nnot: " << text;
    return;
  }
}

}  // namespace cuda_host::self_test
