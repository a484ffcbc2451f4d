// sparse24_decompress on a CUDA device; needs no workspace.
#pragma once

#include "csrc/cuda/device.h"
#include "csrc/spec/sparse24_decompress.h"

namespace torchao_ops::cuda {

// args.violation is on the device, as sparse24_compress has it.
Status sparse24_decompress(const Sparse24DecompressArgs& args, const Context& context);

// The same to rows that lie out_row_stride elements apart, without looking for violations.
Status sparse24_decompress_rows(const sparse24::Weight& weight, void* out, int64_t out_row_stride, const Context& context);

}  // namespace torchao_ops::cuda
