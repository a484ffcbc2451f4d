// Where a bitmask keeps more than two of a quad.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24.h"

namespace torchao_ops::cuda {

// *violation, on the device: the first quad, n * ceil(K / 4) + quad, that keeps more than two, or -1. Null: nothing is done.
Status sparse24_find_violation(const sparse24::Weight& weight, int64_t* violation, const Context& context);

// The same for each row of the weight: violations [N].
Status sparse24_find_violations(const sparse24::Weight& weight, int64_t* violations, const Context& context);

// -1: what a kernel finds is put there by note_violation.
Status sparse24_no_violation(int64_t* violation, const Context& context);

}  // namespace torchao_ops::cuda
