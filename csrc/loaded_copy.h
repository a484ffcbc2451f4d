#pragma once

namespace torchao_ops {

// Whether another copy of this library (another file) was loaded into the process earlier. PyTorch aborts when the same operator is
// registered twice, so a second copy registers nothing: the operators are the first one's.
bool another_copy_is_registered();

}  // namespace torchao_ops
