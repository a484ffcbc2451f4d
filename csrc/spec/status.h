// What a kernel reports. Kernels never throw and know no messages: csrc/ops turns a Status into a sentence.
#pragma once

namespace torchao_ops {

enum class Status : int {
  ok = 0,
  out_of_memory,    // scratch memory could not be allocated
  isa_unknown,      // TORCHAO_OPS_ISA names no instruction set that this library knows
  isa_unavailable,  // TORCHAO_OPS_ISA names one that this CPU lacks
  cuda_failed,      // a CUDA call failed; csrc/cuda/device.h's last_error() says which and why
  cublaslt_failed,  // the same for cuBLASLt, or it is not there
};

}  // namespace torchao_ops
