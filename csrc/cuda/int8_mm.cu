#include "csrc/cuda/int8_mm.h"

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/int8_mm_mma.h"
#include "csrc/cuda/int8_mm_prefill.h"
#include "csrc/cuda/int8_mm_simt.h"
#include "csrc/spec/batch_invariant.h"

namespace torchao_ops::cuda {
namespace {

struct Algorithm {
  int64_t (*workspace_bytes)(const Int8MmArgs&, const Device&);
  Status (*run)(const Int8MmArgs&, const Context&);
};
constexpr Algorithm mma{int8_mm_mma_workspace_bytes, int8_mm_mma}, simt{int8_mm_simt_workspace_bytes, int8_mm_simt},
    prefill{int8_mm_prefill_workspace_bytes, int8_mm_prefill};

// Rows of x up to which the weight is better read as it is than dequantized for a dense product, which moves 5 times the weight's bytes (one byte an element read, two written and read again)
// but multiplies at the device's full rate. Guesses, not measured: on tensor cores 128 rows are two blocks, of which the second reads the weight
// from the cache; on the ordinary cores, fp32's, 16 rows are two passes over it.
constexpr int64_t most_rows_mma = 128, most_rows_simt = 16;

Algorithm choose(const Int8MmArgs& args) {
  const bool tensor_cores = supports_int8_mm_mma(args);
  if (args.weight.K == 0) return simt;                      // cuBLASLt takes no empty operands
  if (batch_invariant()) return tensor_cores ? mma : simt;  // cuBLASLt adds in another order for another M
  if (args.mm.M <= (tensor_cores ? most_rows_mma : most_rows_simt)) return tensor_cores ? mma : simt;
  return prefill;
}

}  // namespace

int64_t int8_mm_workspace_bytes(const Int8MmArgs& args, const Device& device) {
  return choose(args).workspace_bytes(args, device);
}

Status int8_mm(const Int8MmArgs& args, const Context& context) {
  const Status status = check_row_length(args.weight.K);
  return status == Status::ok ? choose(args).run(args, context) : status;
}

}  // namespace torchao_ops::cuda
