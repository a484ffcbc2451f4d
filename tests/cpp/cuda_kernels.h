// The CUDA kernels as tests/cpp/kernels.h wants them: host memory in, host memory out.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "csrc/spec/fp8_dequantize.h"
#include "csrc/spec/fp8_mm.h"
#include "csrc/spec/fp8_quantize.h"
#include "csrc/spec/fp8_scaled_mm.h"
#include "csrc/spec/int4_dequantize.h"
#include "csrc/spec/int4_mm.h"
#include "csrc/spec/int4_quantize.h"
#include "csrc/spec/int8_dequantize.h"
#include "csrc/spec/int8_mm.h"
#include "csrc/spec/int8_quantize.h"
#include "csrc/spec/nf4_dequantize.h"
#include "csrc/spec/nf4_mm.h"
#include "csrc/spec/nf4_quantize.h"
#include "csrc/spec/nf4_quantize_absmax.h"
#include "csrc/spec/parallel.h"
#include "csrc/spec/sparse24_compress.h"
#include "csrc/spec/sparse24_decompress.h"
#include "csrc/spec/sparse24_mm.h"
#include "csrc/spec/sparse24_prune.h"
#include "tests/cpp/cuda_memory.h"

namespace torchao_ops::test {

// A pointer of an args struct, and the host memory it points to.
struct Operand {
  void* pointer;  // where the pointer is kept
  HostRows host;
  DeviceRows::Role role;
};

// The weight first. A new operator needs one of these and its lines in kernels.cpp.
std::vector<Operand> operands_of(Fp8MmArgs& args);
std::vector<Operand> operands_of(Fp8DequantizeArgs& args);
std::vector<Operand> operands_of(Fp8ScaledMmArgs& args);
std::vector<Operand> operands_of(Fp8QuantizeArgs& args);
std::vector<Operand> operands_of(Int4MmArgs& args);
std::vector<Operand> operands_of(Int4QuantizeArgs& args);
std::vector<Operand> operands_of(Int4DequantizeArgs& args);
std::vector<Operand> operands_of(Int8MmArgs& args);
std::vector<Operand> operands_of(Int8QuantizeArgs& args);
std::vector<Operand> operands_of(Int8DequantizeArgs& args);
std::vector<Operand> operands_of(Nf4MmArgs& args);
std::vector<Operand> operands_of_transposed(Nf4MmArgs& args);
std::vector<Operand> operands_of(Nf4QuantizeArgs& args);
std::vector<Operand> operands_of(Nf4QuantizeAbsmaxArgs& args);
std::vector<Operand> operands_of(Nf4DequantizeArgs& args);
std::vector<Operand> operands_of(Sparse24PruneArgs& args);
std::vector<Operand> operands_of(Sparse24CompressArgs& args);
std::vector<Operand> operands_of(Sparse24DecompressArgs& args);
std::vector<Operand> operands_of(Sparse24MmArgs& args);

// The operands on the device, and the args' pointers set to them.
class OnDevice {
 public:
  OnDevice(const std::vector<Operand>& operands, cudaStream_t stream);
  // Brings the results to the host and checks what must not have changed.
  void finish() const;

 private:
  std::vector<std::unique_ptr<DeviceRows>> operands_;
};

template <class Args>
using OperandsOf = std::vector<Operand> (*)(Args& args);

template <class Args, OperandsOf<Args> operands_of_args = operands_of>
bool fits_on_device(const Args& host) {
  Args args = host;
  int64_t bytes = 0;
  for (const Operand& operand : operands_of_args(args)) bytes += operand.host.bytes();
  return fits_on_device(bytes);
}

// How many multiprocessors a kernel is told that there are, which decides how it cuts a product: the device's number, or fewer. Always the same for the
// same weight, since the bits of a result may depend on it.
int multiprocessors_for(const Operand& weight, const cuda::Device& device);

// Runs a CUDA kernel on host operands.
template <class Args, Status (*kernel)(const Args&, const cuda::Context&),
          int64_t (*workspace_bytes)(const Args&, const cuda::Device&), OperandsOf<Args> operands_of_args = operands_of>
Status run_cuda(const Args& host, const Parallel&) {
  cuda::Context context = test_context();
  Args args = host;
  const std::vector<Operand> host_operands = operands_of_args(args);
  context.device.multiprocessors = multiprocessors_for(host_operands.front(), context.device);
  const OnDevice operands(host_operands, context.stream);
  // A workspace is aligned, and what lies beyond its end is somebody else's.
  const DeviceMemory workspace(workspace_bytes(args, context.device), 0, true, context.stream);
  context.workspace = workspace.data();
  const Status status = kernel(args, context);
  if (status != Status::ok) {
    std::fprintf(stderr, "%s\n", cuda::last_error().c_str());
    return status;
  }
  require(cudaStreamSynchronize(context.stream), "cudaStreamSynchronize");
  operands.finish();
  workspace.expect_untouched_margins();
  return Status::ok;
}

// For kernels without a workspace.
template <class Args>
int64_t no_workspace(const Args&, const cuda::Device&) {
  return 0;
}

}  // namespace torchao_ops::test
