// The kernels under test. A new kernel is a new line in kernels.cpp; every test then runs it on every CPU that can execute it.
#pragma once

#include <string>
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
#include "csrc/spec/status.h"

namespace torchao_ops::test {

// What a kernel needs of the CPU, or that it is a CUDA kernel. `dispatch`: nothing, it is the dispatcher, which chooses a kernel itself.
enum class Needs { dispatch, scalar, avx2, avx512, avx512_bf16, avx512_vbmi2, cuda };

template <class Args>
struct Kernel {
  const char* name;
  Needs needs;
  bool (*supports)(const Args&);  // null: all arguments
  Status (*run)(const Args&, const Parallel&);
  // Whether a row's result has the same bits alone as among others. The dispatcher's has with TORCHAO_OPS_BATCH_INVARIANT=1.
  bool batch_invariant = true;
};

using Fp8MmKernel = Kernel<Fp8MmArgs>;
using Fp8ScaledMmKernel = Kernel<Fp8ScaledMmArgs>;
using Fp8QuantizeKernel = Kernel<Fp8QuantizeArgs>;
using Fp8DequantizeKernel = Kernel<Fp8DequantizeArgs>;
using Int4MmKernel = Kernel<Int4MmArgs>;
using Int4QuantizeKernel = Kernel<Int4QuantizeArgs>;
using Int4DequantizeKernel = Kernel<Int4DequantizeArgs>;
using Int8MmKernel = Kernel<Int8MmArgs>;
using Int8QuantizeKernel = Kernel<Int8QuantizeArgs>;
using Int8DequantizeKernel = Kernel<Int8DequantizeArgs>;
using Nf4MmKernel = Kernel<Nf4MmArgs>;
using Nf4QuantizeKernel = Kernel<Nf4QuantizeArgs>;
using Nf4QuantizeAbsmaxKernel = Kernel<Nf4QuantizeAbsmaxArgs>;
using Nf4DequantizeKernel = Kernel<Nf4DequantizeArgs>;
using Sparse24PruneKernel = Kernel<Sparse24PruneArgs>;
using Sparse24CompressKernel = Kernel<Sparse24CompressArgs>;
using Sparse24DecompressKernel = Kernel<Sparse24DecompressArgs>;
using Sparse24MmKernel = Kernel<Sparse24MmArgs>;

// The kernels of an operator that can run here: those that this CPU can execute, and the dispatcher. In a program that is built with
// emulated AVX-512 (TORCHAO_OPS_EMULATE_AVX512): its AVX-512 kernels only. In one for CUDA (TORCHAO_OPS_TEST_CUDA): the CUDA kernels only.
std::vector<Fp8MmKernel> fp8_mm_kernels();
std::vector<Fp8MmKernel> fp8_dynamic_mm_kernels();
std::vector<Fp8ScaledMmKernel> fp8_scaled_mm_kernels();
std::vector<Fp8QuantizeKernel> fp8_quantize_kernels();
std::vector<Fp8DequantizeKernel> fp8_dequantize_kernels();
std::vector<Int4MmKernel> int4_mm_kernels();
std::vector<Int4MmKernel> int4_dynamic_mm_kernels();
std::vector<Int4QuantizeKernel> int4_quantize_kernels();
std::vector<Int4DequantizeKernel> int4_dequantize_kernels();
std::vector<Int8MmKernel> int8_mm_kernels();
std::vector<Int8MmKernel> int8_dynamic_mm_kernels();
std::vector<Int8QuantizeKernel> int8_quantize_kernels();
std::vector<Int8DequantizeKernel> int8_dequantize_kernels();
std::vector<Nf4MmKernel> nf4_mm_kernels();
std::vector<Nf4MmKernel> nf4_mm_transposed_kernels();
std::vector<Nf4QuantizeKernel> nf4_quantize_kernels();
std::vector<Nf4QuantizeAbsmaxKernel> nf4_quantize_absmax_kernels();
std::vector<Nf4DequantizeKernel> nf4_dequantize_kernels();
std::vector<Sparse24PruneKernel> sparse24_prune_kernels();
std::vector<Sparse24CompressKernel> sparse24_compress_kernels();
std::vector<Sparse24DecompressKernel> sparse24_decompress_kernels();
std::vector<Sparse24MmKernel> sparse24_mm_kernels();
std::vector<Sparse24MmKernel> sparse24_dynamic_mm_kernels();

// Counts the cases that a kernel was given, for the summary that main() prints.
void count_case(const char* kernel_name);

template <class Args>
bool takes(const Kernel<Args>& kernel, const Args& args) {
  if (kernel.supports != nullptr && !kernel.supports(args)) return false;
  count_case(kernel.name);
  return true;
}

// What ran and what was skipped and why, a line for each kernel; and whether something that this CPU can run did not.
struct Summary {
  std::string text;
  bool complete;
};
Summary summary();

// Why no kernel of this program can run here, or null: main() then runs no test and returns skip_exit_code.
const char* skip_reason();
constexpr int skip_exit_code = 77;  // a convention of test runners: "skipped"

}  // namespace torchao_ops::test
