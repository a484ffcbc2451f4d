// main() prints what ran of each kernel of the library; the programs here have none that it knows.
#include "tests/cpp/kernels.h"

namespace torchao_ops::test {

Summary summary() { return {"", true}; }
const char* skip_reason() { return nullptr; }

}  // namespace torchao_ops::test
