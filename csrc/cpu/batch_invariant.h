#pragma once

namespace torchao_ops {

// Whether the environment variable TORCHAO_OPS_BATCH_INVARIANT is 1 (read at the first call): dispatchers then use one algorithm for every number
// of rows, so that a row's result is bitwise the same in every batch. Small batches are slower for it.
bool batch_invariant();

}  // namespace torchao_ops
