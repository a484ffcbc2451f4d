// Which kernel computes a weight-only product, whatever the weight's format.
#pragma once

#include <cstdint>

#include "csrc/cuda/device.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {

template <class Args>
struct MmKernel {
  int64_t (*workspace_bytes)(const Args&, const Device&);
  Status (*run)(const Args&, const Context&);
};

// Rows of x up to which the weight is better read as it is than dequantized for a dense product, which moves the weight's bytes 9 times for int4
// and 5 times for int8 (read once, written in 16 bits and read again) but multiplies at the device's full rate. Guesses, not measured: on
// tensor cores 128 rows are two blocks, of which the second reads the weight from the cache; on the ordinary cores, fp32's, 16
// rows are two passes over it.
constexpr int64_t most_rows_mma = 128, most_rows_simt = 16;

// An operator's kernels: on tensor cores, on the ordinary cores (which take everything), and by a dense product of the dequantized weight.
template <class Args>
struct MmKernels {
  bool (*supports_mma)(const Args&);
  MmKernel<Args> mma, simt, prefill;

  const MmKernel<Args>& choose(const Args& args) const {
    const bool tensor_cores = supports_mma(args);
    if (args.weight.K == 0) return simt;                      // cuBLASLt takes no empty operands
    if (batch_invariant()) return tensor_cores ? mma : simt;  // cuBLASLt adds in another order for another M
    if (args.mm.M <= (tensor_cores ? most_rows_mma : most_rows_simt)) return tensor_cores ? mma : simt;
    return prefill;
  }
};

}  // namespace torchao_ops::cuda
